#pragma once
/// Runs a parsed template.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cadre/text/jinja_ast.h"
#include "cadre/text/jinja_loop.h"
#include "cadre/text/jinja_runtime.h"
#include "cadre/text/jinja_template.h"

namespace cadre::jinja {

/// Variables of one scope. A scope sees those around it; assignments stay inside.
struct Frame {
  std::shared_ptr<Frame> parent;
  std::vector<std::pair<std::string_view, Value>> variables;  // names live in the template or the context

  void set(std::string_view name, Value value);
};

/// A macro with the scope it was defined in.
struct Macro {
  const MacroDefinition* definition = nullptr;
  std::shared_ptr<Frame> scope;
};

/// One rendering. Not thread-safe.
///
/// Ownership: values point to macros, loops and namespaces, which the rendering keeps until its end. So a
/// macro may hold the scope that holds the macro without either keeping the other alive for ever.
class Interpreter {
 public:
  Interpreter(const Limits& limits, const std::tm& now) : limits_(limits), runtime_(limits.steps, now) {}

  /// Errors start with "line N: " where a line is to blame.
  Result<std::string> run(const Body& body, const Json& variables);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // Statements.
  Result<Flow> execute(const Body& body);
  Result<Flow> execute(const Statement& statement);
  Result<Flow> run_node(const TextStatement& node);
  Result<Flow> run_node(const PrintStatement& node);
  Result<Flow> run_node(const IfStatement& node);
  Result<Flow> run_node(const ForStatement& node);
  Result<Flow> run_node(const SetStatement& node);
  Result<Flow> run_node(const SetBlockStatement& node);
  Result<Flow> run_node(const FilterStatement& node);
  Result<Flow> run_node(const MacroStatement& node);
  Result<Flow> run_node(const CallStatement& node);
  Result<Flow> run_node(const ScopeStatement& node);
  Result<Flow> run_node(const BreakStatement&) { return Flow::kBreak; }
  Result<Flow> run_node(const ContinueStatement&) { return Flow::kContinue; }

  Result<Values> loop_items(const ForStatement& node);
  Status run_loop(const ForStatement& node, LoopState& loop);
  Status print(std::string_view text);
  Status assign(const Target& target, const Value& value);
  Status assign_attribute(const Target& target, const Value& value);
  /// What `body` prints in a scope of its own, after the filters.
  Result<Value> capture(const Body& body, const std::vector<BlockFilter>& filters);
  Value define_macro(const MacroDefinition& definition);

  // Expressions.
  Result<Value> eval(const Expr& expr);
  Result<Value> eval_or(const ExprPtr& expr, Value otherwise);
  Result<Value> eval_node(const ConstantExpr& node) { return node.value; }
  Result<Value> eval_node(const NameExpr& node);
  Result<Value> eval_node(const SequenceExpr& node);
  Result<Value> eval_node(const DictExpr& node);
  Result<Value> eval_node(const ConditionalExpr& node);
  Result<Value> eval_node(const LogicalExpr& node);
  Result<Value> eval_node(const NotExpr& node);
  Result<Value> eval_node(const SignExpr& node);
  Result<Value> eval_node(const ArithmeticExpr& node);
  Result<Value> eval_node(const ComparisonExpr& node);
  Result<Value> eval_node(const ConcatExpr& node);
  Result<Value> eval_node(const AttributeExpr& node);
  Result<Value> eval_node(const ItemExpr& node);
  Result<Value> eval_node(const SliceExpr& node);
  Result<Value> eval_node(const CallExpr& node);
  Result<Value> eval_node(const ApplyExpr& node);

  Result<CallArguments> eval_arguments(const Arguments& arguments);
  Result<Value> call(const Value& callee, CallArguments arguments);
  Result<Value> call_macro(const Macro& macro, CallArguments arguments);
  Status bind_parameters(const Macro& macro, CallArguments& arguments);
  Status bind_surplus(const MacroDefinition& definition, CallArguments& arguments);

  /// Counts recursion while it lives.
  class Recursion {
   public:
    explicit Recursion(Interpreter& interpreter) : interpreter_(interpreter) { ++interpreter_.recursion_; }
    ~Recursion() { --interpreter_.recursion_; }
    Recursion(const Recursion&) = delete;
    Recursion& operator=(const Recursion&) = delete;
    Status check() const;

   private:
    Interpreter& interpreter_;
  };

  /// Makes a new innermost scope while it lives.
  class Scope {
   public:
    Scope(Interpreter& interpreter, std::shared_ptr<Frame> parent);
    ~Scope() { interpreter_.frame_ = std::move(before_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Interpreter& interpreter_;
    std::shared_ptr<Frame> before_;
  };

  /// Adds the line to an error, unless one nearer to its cause has been added.
  template <typename T>
  Result<T> located(Result<T> result, int line);

  const Limits& limits_;
  Runtime runtime_;
  std::deque<Macro> macros_;
  std::deque<LoopState> loops_;
  std::shared_ptr<Frame> frame_ = std::make_shared<Frame>();
  std::string out_;
  uint64_t printed_ = 0;
  int recursion_ = 0;
  bool located_ = false;
};

template <typename T>
Result<T> Interpreter::located(Result<T> result, int line) {
  if (!result && !located_) {
    located_ = true;
    result.error().message.insert(0, fmt::format("line {}: ", line));
  }
  return result;
}

}  // namespace cadre::jinja
