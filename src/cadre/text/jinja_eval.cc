// Statements; expressions are in jinja_eval_expr.cc.
#include "cadre/text/jinja_eval.h"

#include <algorithm>

namespace cadre::jinja {
namespace {

/// Steps charged for what lives as long as the rendering: macros and the state of loops.
constexpr uint64_t kLastingSteps = 24;

}  // namespace

void Frame::set(std::string_view name, Value value) {
  for (auto& [key, old] : variables) {
    if (key != name) continue;
    old = std::move(value);
    return;
  }
  variables.emplace_back(name, std::move(value));
}

Interpreter::Scope::Scope(Interpreter& interpreter, std::shared_ptr<Frame> parent)
    : interpreter_(interpreter), before_(std::move(interpreter.frame_)) {
  interpreter_.frame_ = std::make_shared<Frame>();
  interpreter_.frame_->parent = std::move(parent);
}

Status Interpreter::Recursion::check() const {
  const int limit = interpreter_.limits_.recursion;
  if (interpreter_.recursion_ <= limit) return {};
  return fail(ErrorKind::kTooLarge, "macros call each other too deeply (more than {} levels of evaluation)",
              limit);
}

Result<std::string> Interpreter::run(const Body& body, const Json& variables) {
  for (const auto& [name, value] : variables.items())
    frame_->variables.emplace_back(name, Value::from_json(value));
  CADRE_CHECK_OK(execute(body));
  return std::move(out_);
}

Result<Interpreter::Flow> Interpreter::execute(const Body& body) {
  for (const Statement& statement : body) {
    CADRE_TRY(const Flow flow, execute(statement));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::execute(const Statement& statement) {
  const Recursion recursion(*this);
  CADRE_CHECK_OK(located(recursion.check(), statement.line));
  CADRE_CHECK_OK(located(runtime_.charge(1), statement.line));
  return located(std::visit([this](const auto& node) { return run_node(node); }, statement.node),
                 statement.line);
}

Status Interpreter::print(std::string_view text) {
  printed_ += text.size();
  if (printed_ > limits_.output_bytes)
    return fail(ErrorKind::kTooLarge, "the template prints more than {} bytes", limits_.output_bytes);
  CADRE_CHECK_OK(runtime_.charge_text(text.size()));
  out_ += text;
  return {};
}

Result<Interpreter::Flow> Interpreter::run_node(const TextStatement& node) {
  CADRE_CHECK_OK(print(node.text));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run_node(const PrintStatement& node) {
  CADRE_TRY(const Value value, eval(*node.value));
  if (value.is_string()) {
    CADRE_CHECK_OK(print(value.text()));
    return Flow::kNext;
  }
  CADRE_TRY(const std::string text, runtime_.str(value));
  CADRE_CHECK_OK(print(text));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run_node(const IfStatement& node) {
  for (const auto& [condition, body] : node.branches) {
    CADRE_TRY(const Value value, eval(*condition));
    if (value.truthy()) return execute(body);
  }
  return execute(node.otherwise);
}

Result<Values> Interpreter::loop_items(const ForStatement& node) {
  CADRE_TRY(const Value source, eval(*node.items));
  CADRE_TRY(Values items, runtime_.iterate(source));
  if (!node.condition) return items;
  Values chosen;
  for (Value& item : items) {
    const Scope scope(*this, frame_);
    CADRE_CHECK_OK(assign(node.target, item));
    CADRE_TRY(const Value keep, eval(*node.condition));
    if (keep.truthy()) chosen.push_back(std::move(item));
  }
  return chosen;
}

Result<Interpreter::Flow> Interpreter::run_node(const ForStatement& node) {
  CADRE_TRY(Values items, loop_items(node));
  if (items.empty()) {
    const Scope scope(*this, frame_);
    return execute(node.otherwise);
  }
  CADRE_CHECK_OK(runtime_.charge(kLastingSteps));
  LoopState& loop = loops_.emplace_back();
  loop.length = items.size();
  loop.items = std::move(items);
  const Status status = run_loop(node, loop);
  loop.items = {};
  if (!status) return tl::unexpected<Error>(status.error());
  return Flow::kNext;
}

Status Interpreter::run_loop(const ForStatement& node, LoopState& loop) {
  for (loop.index = 0;; ++loop.index) {
    const Scope scope(*this, frame_);
    frame_->set("loop", Value(&loop));
    CADRE_CHECK_OK(assign(node.target, loop.items[loop.index]));
    CADRE_TRY(const Flow flow, execute(node.body));
    if (flow == Flow::kBreak || loop.index + 1 == loop.length) return {};
  }
}

Status Interpreter::assign(const Target& target, const Value& value) {
  if (!target.attribute.empty()) return assign_attribute(target, value);
  if (target.parts.empty()) {
    CADRE_CHECK_OK(runtime_.charge(frame_->variables.size() / kBytesPerStep));
    frame_->set(target.name, value);
    return {};
  }
  CADRE_TRY(const Values values, runtime_.iterate(value));
  if (values.size() != target.parts.size())
    return invalid("{} values where {} are unpacked", values.size(), target.parts.size());
  for (size_t i = 0; i < values.size(); ++i) CADRE_CHECK_OK(assign(target.parts[i], values[i]));
  return {};
}

Status Interpreter::assign_attribute(const Target& target, const Value& value) {
  CADRE_TRY(const Value object, eval_node(NameExpr{target.name}));
  if (!object.is(Kind::kNamespace))
    return invalid("cannot assign to an attribute of '{}', which is no namespace", target.name);
  CADRE_CHECK_OK(runtime_.charge(object.space().members.size() / kBytesPerStep));
  object.space().set(target.attribute, value);
  return {};
}

Result<Interpreter::Flow> Interpreter::run_node(const SetStatement& node) {
  CADRE_TRY(const Value value, eval(*node.value));
  CADRE_CHECK_OK(assign(node.target, value));
  return Flow::kNext;
}

Result<Value> Interpreter::capture(const Body& body, const std::vector<BlockFilter>& filters) {
  const Scope scope(*this, frame_);
  std::string outer = std::exchange(out_, {});
  CADRE_CHECK_OK(execute(body));
  Value text = Value::string(std::exchange(out_, std::move(outer)));
  for (const BlockFilter& filter : filters) {
    CADRE_TRY(const CallArguments arguments, eval_arguments(filter.arguments));
    CADRE_TRY(text, call_builtin(runtime_, *filter.builtin, text, arguments));
  }
  return text;
}

Result<Interpreter::Flow> Interpreter::run_node(const SetBlockStatement& node) {
  CADRE_TRY(const Value text, capture(node.body, node.filters));
  CADRE_CHECK_OK(assign(node.target, text));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run_node(const FilterStatement& node) {
  CADRE_TRY(const Value value, capture(node.body, node.filters));
  CADRE_TRY(const std::string text, runtime_.str(value));
  CADRE_CHECK_OK(print(text));
  return Flow::kNext;
}

Value Interpreter::define_macro(const MacroDefinition& definition) {
  macros_.push_back({&definition, frame_});
  return Value(&macros_.back());
}

Result<Interpreter::Flow> Interpreter::run_node(const MacroStatement& node) {
  CADRE_CHECK_OK(runtime_.charge(kLastingSteps));
  frame_->set(node.macro->name, define_macro(*node.macro));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run_node(const CallStatement& node) {
  CADRE_CHECK_OK(runtime_.charge(kLastingSteps));
  const CallExpr& expr = std::get<CallExpr>(node.call->node);
  CADRE_TRY(const Value callee, eval(*expr.callee));
  CADRE_TRY(CallArguments arguments, eval_arguments(expr.arguments));
  arguments.named.emplace_back("caller", define_macro(*node.caller));
  CADRE_TRY(const Value value, call(callee, std::move(arguments)));
  CADRE_TRY(const std::string text, runtime_.str(value));
  CADRE_CHECK_OK(print(text));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::run_node(const ScopeStatement& node) {
  Values values;
  for (const auto& assignment : node.assignments) {
    CADRE_TRY(Value value, eval(*assignment.second));
    values.push_back(std::move(value));
  }
  const Scope scope(*this, frame_);
  for (size_t i = 0; i < values.size(); ++i) CADRE_CHECK_OK(assign(node.assignments[i].first, values[i]));
  return execute(node.body);
}

}  // namespace cadre::jinja
