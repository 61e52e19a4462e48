#include "cadre/text/jinja_template.h"

#include "cadre/base/check.h"
#include "cadre/text/jinja_eval.h"
#include "cadre/text/jinja_parser.h"

namespace cadre::jinja {

struct Template::Program {
  std::string origin;
  Limits limits;
  Body body;
};

Template::Template(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Result<Template> Template::parse(std::string_view source, std::string origin, const Limits& limits) {
  if (source.size() > limits.template_bytes)
    return fail(ErrorKind::kTooLarge, "{}: a template of {} bytes, at most {} are allowed", origin,
                source.size(), limits.template_bytes);
  Result<Body> body = parse_template(source);
  if (!body) return fail(body.error().kind, "{}: {}", origin, body.error().message);
  return Template(std::make_unique<const Program>(Program{std::move(origin), limits, std::move(*body)}));
}

Result<std::string> Template::render(const Json& variables) const {
  const std::time_t seconds = std::time(nullptr);
  std::tm now{};
  localtime_r(&seconds, &now);
  return render(variables, now);
}

Result<std::string> Template::render(const Json& variables, const std::tm& now) const {
  CADRE_CHECK(variables.is_object(), "variables are {}", describe_json(variables));
  Interpreter interpreter(program_->limits, now);
  Result<std::string> text = interpreter.run(program_->body, variables);
  if (!text) return fail(text.error().kind, "{}: {}", program_->origin, text.error().message);
  return text;
}

}  // namespace cadre::jinja
