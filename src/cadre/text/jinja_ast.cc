#include "cadre/text/jinja_ast.h"

#include <algorithm>

namespace cadre::jinja {
namespace {

/// Collects the depth of what a node consists of.
struct Deepest {
  int depth = 0;
  void add(const ExprPtr& child) {
    if (child) depth = std::max(depth, child->depth);
  }
  void add(const Arguments& arguments) {
    for (const ExprPtr& child : arguments.positional) add(child);
    for (const auto& entry : arguments.named) add(entry.second);
    add(arguments.spread);
    add(arguments.spread_named);
  }
  void operator()(const ConstantExpr&) {}
  void operator()(const NameExpr&) {}
  void operator()(const SequenceExpr& node) {
    for (const ExprPtr& child : node.items) add(child);
  }
  void operator()(const DictExpr& node) {
    for (const auto& [key, value] : node.entries) {
      add(key);
      add(value);
    }
  }
  void operator()(const ConditionalExpr& node) {
    add(node.condition);
    add(node.then);
    add(node.otherwise);
  }
  void operator()(const LogicalExpr& node) {
    add(node.left);
    add(node.right);
  }
  void operator()(const NotExpr& node) { add(node.operand); }
  void operator()(const SignExpr& node) { add(node.operand); }
  void operator()(const ArithmeticExpr& node) {
    add(node.left);
    add(node.right);
  }
  void operator()(const ComparisonExpr& node) {
    add(node.first);
    for (const auto& entry : node.rest) add(entry.second);
  }
  void operator()(const ConcatExpr& node) {
    for (const ExprPtr& child : node.parts) add(child);
  }
  void operator()(const AttributeExpr& node) { add(node.object); }
  void operator()(const ItemExpr& node) {
    add(node.object);
    add(node.key);
  }
  void operator()(const SliceExpr& node) {
    add(node.object);
    add(node.start);
    add(node.stop);
    add(node.step);
  }
  void operator()(const CallExpr& node) {
    add(node.callee);
    add(node.arguments);
  }
  void operator()(const ApplyExpr& node) {
    add(node.input);
    add(node.arguments);
  }
};

}  // namespace

int depth_of_parts(const Expr& expr) {
  Deepest deepest;
  std::visit([&](const auto& node) { deepest(node); }, expr.node);
  return deepest.depth;
}

}  // namespace cadre::jinja
