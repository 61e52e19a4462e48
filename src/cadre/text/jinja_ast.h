#pragma once
/// A parsed template. Immutable once parsed; every node is owned by its parent.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cadre/text/jinja_operators.h"
#include "cadre/text/jinja_value.h"

namespace cadre::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

/// f(1, x=2, *more, **named)
struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr spread;        ///< *more, may be null
  ExprPtr spread_named;  ///< **named, may be null
};

struct ConstantExpr {
  Value value;
};
struct NameExpr {
  std::string name;
};
struct SequenceExpr {
  SequenceKind kind;  ///< list or tuple
  std::vector<ExprPtr> items;
};
struct DictExpr {
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};
struct ConditionalExpr {
  ExprPtr condition;
  ExprPtr then;
  ExprPtr otherwise;  ///< null: undefined
};
struct LogicalExpr {
  bool is_and;
  ExprPtr left, right;
};
struct NotExpr {
  ExprPtr operand;
};
struct SignExpr {
  bool minus;
  ExprPtr operand;
};
struct ArithmeticExpr {
  ArithmeticOp op;
  ExprPtr left, right;
};
/// a < b <= c: each operand but the first with the operator before it.
struct ComparisonExpr {
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};
struct ConcatExpr {
  std::vector<ExprPtr> parts;
};
struct AttributeExpr {
  ExprPtr object;
  std::string name;
};
struct ItemExpr {
  ExprPtr object, key;
};
struct SliceExpr {
  ExprPtr object;
  ExprPtr start, stop, step;  ///< each may be null
};
struct CallExpr {
  ExprPtr callee;
  Arguments arguments;
};
/// A filter, or a test when `is_test`.
struct ApplyExpr {
  ExprPtr input;
  const Builtin* builtin;
  Arguments arguments;
  bool is_test = false;
};

struct Expr {
  int line = 1;
  int depth = 1;  ///< levels of nodes; the parser keeps it small enough for recursion
  std::variant<ConstantExpr, NameExpr, SequenceExpr, DictExpr, ConditionalExpr, LogicalExpr, NotExpr,
               SignExpr, ArithmeticExpr, ComparisonExpr, ConcatExpr, AttributeExpr, ItemExpr, SliceExpr,
               CallExpr, ApplyExpr>
      node;
};

/// The greatest depth among the expressions that `expr` consists of, 0 without any.
int depth_of_parts(const Expr& expr);

/// What `set`, `for` and `with` assign to: a name, an attribute of a namespace, or several targets.
struct Target {
  std::string name;
  std::string attribute;  ///< not empty: name.attribute
  std::vector<Target> parts;
};

struct Statement;
using Body = std::vector<Statement>;

/// A filter applied to the text of a block.
struct BlockFilter {
  const Builtin* builtin;
  Arguments arguments;
};

/// A macro, or the body of a call block.
struct MacroDefinition {
  struct Parameter {
    std::string name;
    ExprPtr otherwise;  ///< default, may be null
  };
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  bool takes_varargs = false;
  bool takes_kwargs = false;
  bool takes_caller = false;
};

struct TextStatement {
  std::string text;
};
struct PrintStatement {
  ExprPtr value;
};
struct IfStatement {
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};
struct ForStatement {
  Target target;
  ExprPtr items;
  ExprPtr condition;  ///< may be null
  Body body;
  Body otherwise;
};
struct SetStatement {
  Target target;
  ExprPtr value;
};
/// {% set x | filter %}...{% endset %}
struct SetBlockStatement {
  Target target;
  std::vector<BlockFilter> filters;
  Body body;
};
struct FilterStatement {
  std::vector<BlockFilter> filters;
  Body body;
};
struct MacroStatement {
  std::unique_ptr<const MacroDefinition> macro;
};
struct CallStatement {
  ExprPtr call;  ///< holds a CallExpr
  std::unique_ptr<const MacroDefinition> caller;
};
/// {% with %}, and {% generation %}, which has no assignments.
struct ScopeStatement {
  std::vector<std::pair<Target, ExprPtr>> assignments;
  Body body;
};
struct BreakStatement {};
struct ContinueStatement {};

struct Statement {
  int line = 1;
  std::variant<TextStatement, PrintStatement, IfStatement, ForStatement, SetStatement, SetBlockStatement,
               FilterStatement, MacroStatement, CallStatement, ScopeStatement, BreakStatement,
               ContinueStatement>
      node;
};

}  // namespace cadre::jinja
