// Expressions and calls; statements are in jinja_eval.cc.
#include <algorithm>

#include "cadre/text/jinja_eval.h"
#include "cadre/text/jinja_operators.h"

namespace cadre::jinja {

Result<Value> Interpreter::eval(const Expr& expr) {
  const Recursion recursion(*this);
  CADRE_CHECK_OK(located(recursion.check(), expr.line));
  CADRE_CHECK_OK(located(runtime_.charge(1), expr.line));
  return located(std::visit([this](const auto& node) { return eval_node(node); }, expr.node), expr.line);
}

Result<Value> Interpreter::eval_or(const ExprPtr& expr, Value otherwise) {
  if (!expr) return otherwise;
  return eval(*expr);
}

Result<Value> Interpreter::eval_node(const NameExpr& node) {
  for (const Frame* frame = frame_.get(); frame != nullptr; frame = frame->parent.get()) {
    CADRE_CHECK_OK(runtime_.charge(frame->variables.size() / kBytesPerStep));
    for (const auto& [name, value] : frame->variables)
      if (name == node.name) return value;
  }
  if (const Builtin* function = find_global(node.name)) return Value(function);
  return Value::undefined(fmt::format("'{}' is undefined", node.name));
}

Result<Value> Interpreter::eval_node(const SequenceExpr& node) {
  Values items;
  for (const ExprPtr& child : node.items) {
    CADRE_TRY(Value item, eval(*child));
    items.push_back(std::move(item));
  }
  return runtime_.make_sequence(std::move(items), node.kind);
}

Result<Value> Interpreter::eval_node(const DictExpr& node) {
  Dict dict;
  for (const auto& entry : node.entries) {
    CADRE_TRY(const Value key, eval(*entry.first));
    CADRE_TRY(Value value, eval(*entry.second));
    CADRE_CHECK_OK(runtime_.set_item(dict, key, std::move(value)));
  }
  return runtime_.make_dict(std::move(dict));
}

Result<Value> Interpreter::eval_node(const ConditionalExpr& node) {
  CADRE_TRY(const Value condition, eval(*node.condition));
  if (condition.truthy()) return eval(*node.then);
  return eval_or(node.otherwise,
                 Value::undefined("the inline if-expression evaluated to false and has no else"));
}

Result<Value> Interpreter::eval_node(const LogicalExpr& node) {
  CADRE_TRY(Value left, eval(*node.left));
  if (left.truthy() != node.is_and) return left;
  return eval(*node.right);
}

Result<Value> Interpreter::eval_node(const NotExpr& node) {
  CADRE_TRY(const Value value, eval(*node.operand));
  return Value::boolean(!value.truthy());
}

Result<Value> Interpreter::eval_node(const SignExpr& node) {
  CADRE_TRY(const Value value, eval(*node.operand));
  return signed_number(node.minus, value);
}

Result<Value> Interpreter::eval_node(const ArithmeticExpr& node) {
  CADRE_TRY(const Value left, eval(*node.left));
  CADRE_TRY(const Value right, eval(*node.right));
  return arithmetic(runtime_, node.op, left, right);
}

Result<Value> Interpreter::eval_node(const ComparisonExpr& node) {
  CADRE_TRY(Value left, eval(*node.first));
  for (const auto& entry : node.rest) {
    CADRE_TRY(Value right, eval(*entry.second));
    CADRE_TRY(const bool holds, compare(runtime_, entry.first, left, right));
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::eval_node(const ConcatExpr& node) {
  std::string out;
  for (const ExprPtr& part : node.parts) {
    CADRE_TRY(const Value value, eval(*part));
    CADRE_TRY(const std::string text, runtime_.str(value));
    out += text;
  }
  return runtime_.make_text(std::move(out));
}

Result<Value> Interpreter::eval_node(const AttributeExpr& node) {
  CADRE_TRY(const Value object, eval(*node.object));
  return get_attribute(runtime_, object, node.name);
}

Result<Value> Interpreter::eval_node(const ItemExpr& node) {
  CADRE_TRY(const Value object, eval(*node.object));
  CADRE_TRY(const Value key, eval(*node.key));
  return get_item(runtime_, object, key);
}

Result<Value> Interpreter::eval_node(const SliceExpr& node) {
  CADRE_TRY(const Value object, eval(*node.object));
  CADRE_TRY(const Value start, eval_or(node.start, Value::none()));
  CADRE_TRY(const Value stop, eval_or(node.stop, Value::none()));
  CADRE_TRY(const Value step, eval_or(node.step, Value::none()));
  return get_slice(runtime_, object, start, stop, step);
}

Result<Value> Interpreter::eval_node(const ApplyExpr& node) {
  CADRE_TRY(const Value input, eval(*node.input));
  CADRE_TRY(const CallArguments arguments, eval_arguments(node.arguments));
  return call_builtin(runtime_, *node.builtin, input, arguments);
}

Result<Value> Interpreter::eval_node(const CallExpr& node) {
  CADRE_TRY(const Value callee, eval(*node.callee));
  CADRE_TRY(CallArguments arguments, eval_arguments(node.arguments));
  return call(callee, std::move(arguments));
}

Result<CallArguments> Interpreter::eval_arguments(const Arguments& arguments) {
  CallArguments result;
  for (const ExprPtr& argument : arguments.positional) {
    CADRE_TRY(Value value, eval(*argument));
    result.positional.push_back(std::move(value));
  }
  for (const auto& argument : arguments.named) {
    CADRE_TRY(Value value, eval(*argument.second));
    result.named.emplace_back(argument.first, std::move(value));
  }
  if (arguments.spread) {
    CADRE_TRY(const Value more, eval(*arguments.spread));
    CADRE_TRY(const Values values, runtime_.iterate(more));
    result.positional.insert(result.positional.end(), values.begin(), values.end());
  }
  if (!arguments.spread_named) return result;
  CADRE_TRY(const Value named, eval(*arguments.spread_named));
  if (!named.is(Kind::kDict)) return invalid("** needs a dict, not {}", named.type_name());
  CADRE_CHECK_OK(runtime_.charge(named.dict().size() * (1 + result.named.size())));
  for (const auto& [key, value] : named.dict().entries()) {
    if (!key.is_string()) return invalid("names of arguments must be strings, not {}", key.type_name());
    const auto name = key.text();
    const bool twice = std::any_of(result.named.begin(), result.named.end(),
                                   [&](const auto& entry) { return entry.first == name; });
    if (twice) return invalid("argument '{}' is given twice", name);
    result.named.emplace_back(name, value);
  }
  return result;
}

Result<Value> Interpreter::call(const Value& callee, CallArguments arguments) {
  CADRE_CHECK_OK(runtime_.charge(2));
  switch (callee.kind()) {
    case Kind::kMacro:
      return call_macro(callee.macro(), std::move(arguments));
    case Kind::kMethod:
      return call_builtin(runtime_, *callee.method().method, callee.method().self, arguments);
    case Kind::kFunction:
      return call_builtin(runtime_, callee.function(), Value::none(), arguments);
    case Kind::kUndefined:
      return invalid("{}", callee.undefined_message());
    default:
      return invalid("'{}' object is not callable", callee.type_name());
  }
}

Result<Value> Interpreter::call_macro(const Macro& macro, CallArguments arguments) {
  const Scope scope(*this, macro.scope);
  CADRE_CHECK_OK(bind_parameters(macro, arguments));
  std::string outer = std::exchange(out_, {});
  CADRE_CHECK_OK(execute(macro.definition->body));
  return runtime_.make_text(std::exchange(out_, std::move(outer)));
}

Status Interpreter::bind_parameters(const Macro& macro, CallArguments& arguments) {
  const auto& parameters = macro.definition->parameters;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, otherwise] = parameters[i];
    if (i < arguments.positional.size()) {
      frame_->set(name, arguments.positional[i]);
      continue;
    }
    const auto given = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&wanted = name](const auto& entry) { return entry.first == wanted; });
    if (given != arguments.named.end()) {
      frame_->set(name, std::move(given->second));
      arguments.named.erase(given);
      continue;
    }
    CADRE_TRY(Value value,
              eval_or(otherwise, Value::undefined(fmt::format("parameter '{}' was not provided", name))));
    frame_->set(name, std::move(value));
  }
  return bind_surplus(*macro.definition, arguments);
}

Status Interpreter::bind_surplus(const MacroDefinition& definition, CallArguments& arguments) {
  const size_t count = definition.parameters.size();
  const auto is_parameter = [&](std::string_view name) {
    return std::any_of(definition.parameters.begin(), definition.parameters.end(),
                       [&](const auto& parameter) { return parameter.name == name; });
  };
  if (definition.takes_caller && !is_parameter("caller")) {
    const auto given = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [](const auto& entry) { return entry.first == "caller"; });
    frame_->set("caller",
                given != arguments.named.end() ? given->second : Value::undefined("No caller defined"));
    if (given != arguments.named.end()) arguments.named.erase(given);
  }
  if (definition.takes_kwargs) {
    Dict named;
    for (const auto& [name, value] : arguments.named)
      CADRE_CHECK_OK(runtime_.set_item(named, Value::string(name), value));
    CADRE_TRY(Value kwargs, runtime_.make_dict(std::move(named)));
    frame_->set("kwargs", std::move(kwargs));
  } else if (!arguments.named.empty()) {
    return invalid("macro '{}' takes no argument '{}'", definition.name, arguments.named.front().first);
  }
  if (definition.takes_varargs) {
    Values rest;
    for (size_t i = count; i < arguments.positional.size(); ++i) rest.push_back(arguments.positional[i]);
    CADRE_TRY(Value varargs, runtime_.make_sequence(std::move(rest), SequenceKind::kTuple));
    frame_->set("varargs", std::move(varargs));
  } else if (arguments.positional.size() > count) {
    return invalid("macro '{}' takes at most {} arguments, {} given", definition.name, count,
                   arguments.positional.size());
  }
  return {};
}

}  // namespace cadre::jinja
