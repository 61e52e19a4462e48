#include "cadre/text/jinja_template.h"

#include <gtest/gtest.h>

#include <ctime>

#include "cadre/base/file.h"
#include "cadre/text/tokenizer_testing.h"

namespace cadre::jinja {
namespace {

std::tm test_time() {
  std::tm time{};
  time.tm_year = 125;
  time.tm_mon = 6;
  time.tm_mday = 26;
  time.tm_hour = 14;
  time.tm_wday = 6;
  time.tm_yday = 206;
  return time;
}

Result<std::string> render(std::string_view text, const Json& variables = Json::object(),
                           const Limits& limits = {}) {
  CADRE_TRY(const Template program, Template::parse(text, "t", limits));
  return program.render(variables, test_time());
}

std::string rendered(std::string_view text, const Json& variables = Json::object()) {
  const Result<std::string> result = render(text, variables);
  return result ? *result : "error: " + result.error().message;
}

std::string error_of(std::string_view text, const Json& variables = Json::object(),
                     const Limits& limits = {}) {
  const Result<std::string> result = render(text, variables, limits);
  return result ? "no error: " + *result : result.error().message;
}

TEST(JinjaTemplate, AgreesWithJinja2) {
  const auto data = read_json_file(CADRE_SOURCE_DIR "/src/cadre/text/testdata/jinja_cases.json");
  ASSERT_TRUE(data) << data.error().message;
  const Json& context = (*data)["context"];
  ASSERT_GT((*data)["cases"].size(), 900u);
  for (const Json& item : (*data)["cases"]) {
    const auto& text = item[0].get_ref<const std::string&>();
    const Result<std::string> result = render(text, context);
    if (item[1].is_null())
      EXPECT_FALSE(result) << text << "\nrenders as: " << *result;
    else
      EXPECT_EQ(item[1], result ? *result : "error: " + result.error().message) << text;
  }
}

TEST(JinjaTemplate, ErrorsNameOriginLineAndReason) {
  EXPECT_EQ(error_of("a\nb {{ x.y }}"), "t: line 2: 'x' is undefined");
  EXPECT_EQ(error_of("{{ {}.a.b }}"), "t: line 1: 'dict object' has no attribute 'a'");
  EXPECT_EQ(error_of("\n\n{% if x %}\n"), "t: line 3: 'if' of line 3 is not closed");
  EXPECT_EQ(error_of("{% for a in b %}\n{% endif %}"),
            "t: line 2: unknown or unexpected tag 'endif' inside 'for' of line 1");
  EXPECT_EQ(error_of("{{ 1 | nothing }}"), "t: line 1: filter 'nothing' is not supported");
  EXPECT_EQ(error_of("{{ 1 is nothing }}"), "t: line 1: test 'nothing' is not supported");
  EXPECT_EQ(error_of("{{ raise_exception('only users') }}"),
            "t: line 1: the template refuses these messages: only users");
  EXPECT_EQ(error_of("{{ 'abc }}"), "t: line 1: a string is not closed with '");
  EXPECT_EQ(error_of("{{ 1 + none }}"), "t: line 1: unsupported operand types for +: 'int' and 'NoneType'");
  EXPECT_EQ(error_of("{% macro m() %}\n{{ 1 // 0 }}{% endmacro %}\n\n{{ m() }}"),
            "t: line 2: integer division or modulo by zero");
  EXPECT_EQ(error_of("\xff"), "t: the template is not UTF-8 (byte 0)");
}

TEST(JinjaTemplate, RefusesWhatItDoesNotSupportByName) {
  for (const std::string_view tag : {"include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'",
                                     "block b", "autoescape true", "do f()", "trans", "debug"}) {
    const std::string name(tag.substr(0, tag.find(' ')));
    EXPECT_EQ(error_of(fmt::format("\n{{% {} %}}", tag)),
              fmt::format("t: line 2: the tag '{}' is not supported", name));
  }
  EXPECT_EQ(error_of("{% for a in b recursive %}{% endfor %}"),
            "t: line 1: recursive loops are not supported");
  EXPECT_EQ(error_of("{% for a in b %}{% set c %}{% break %}{% endset %}{% endfor %}"),
            "t: line 1: 'break' or 'continue' outside of a for loop, or in a block inside it");
  const Json list = {{"l", {1, 2}}};
  EXPECT_NE(error_of("{{ l.append(3) }}", list).find("cannot be changed"), std::string::npos);
}

TEST(JinjaTemplate, DifferencesFromJinja2AreAsDocumented) {
  const Json user = {{"l", {{{"a", 1}}, {{"a", 2}}}}};
  EXPECT_EQ(rendered("{{ l | map(attribute='a') | tojson }}", user), "[1, 2]");
  EXPECT_EQ(rendered("{{ '<a>' | safe + '<b>' }}"), "<a><b>");
  EXPECT_NE(error_of("{{ 9223372036854775807 * 9223372036854775807 * 2 }}").find("64 bits"),
            std::string::npos);
  EXPECT_EQ(rendered("{{ x is defined if true else 3 }}"), "False");
}

TEST(JinjaTemplate, LargeIntegersOfJsonKeepTheirDigits) {
  Json variables;
  variables["n"] = UINT64_MAX;
  EXPECT_EQ(rendered("{{ n }} {{ n | tojson }} {{ [n] }}", variables),
            "18446744073709551615 18446744073709551615 [18446744073709551615]");
}

TEST(JinjaTemplate, ShowsTheTimeItIsGiven) {
  EXPECT_EQ(rendered("{{ strftime_now('%d %b %Y, %H:%M %% %-d') }}"), "26 Jul 2025, 14:00 % 26");
  EXPECT_NE(error_of("{{ strftime_now('%1000000d') }}").find("not supported"), std::string::npos);
}

// Each of these would run for a very long time, or fill the memory, without limits.
TEST(JinjaTemplate, WorkIsBounded) {
  const std::string_view kHogs[] = {
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{{ a }}{% endfor %}{% endfor %}",
      "{{ 'a' * 1000000000000 }}",
      "{{ 'a' * 9223372036854775807 }}",
      "{{ [1] * 1000000000000 }}",
      "{{ 2 ** 1000000000 }}",
      "{{ range(1000000000) }}",
      "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
      "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s.replace('a', ns.s) %}{% "
      "endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ "
      "ns.l }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ "
      "ns.l == [ns.l] }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ "
      "ns.l|tojson }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}",
      "{% set ns = namespace(l={}) %}{% for i in range(100000) %}{% set ns.l = {1: ns.l} %}{% endfor %}",
      "{% set ns = namespace(d={}) %}{% for i in range(100000) %}{% set ns.d = dict(ns.d, **{i|string: i}) "
      "%}{% endfor %}",
      "{{ dict(range(100000)|batch(2)) }}",
      "{{ 'x'.center(100000000) }}",
      "{{ '%1000000000d' % 5 }}",
      "{{ '{:1000000000}'.format(5) }}",
      "{{ [1, 2]|tojson(indent=100000000) }}",
      "{{ 'a\nb'|indent(1000000000) }}",
      "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
      "{{ ('a,' * 100000).split(',')|map('replace', '', 'bbbbbbbbbbbbbbbbbb' * 1000)|list }}",
      "{% set s = 'ab' * 100000 %}{% for i in range(100000) %}{{ s[i] }}{% endfor %}",
      "{% set s = 'ab' * 100000 %}{% for i in range(100000) %}{% if 'c' in s %}{% endif %}{% endfor %}",
      "{% set l = range(100000)|list %}{% for i in range(100000) %}{% if 'c' in l %}{% endif %}{% endfor %}",
      "{% set l = range(100000)|list %}{% for i in range(100000) %}{% if l == l + [1] %}{% endif %}{% endfor "
      "%}",
      "{% set l = range(100000)|list %}{% for i in range(100000) %}{% set m = l[::-1] %}{% endfor %}",
      "{% set l = range(100000)|list %}{% for i in range(100000) %}{% set m = l|sort %}{% endfor %}",
      "{% for i in range(100000) %}{% for j in range(100) %}{% set ns = namespace(a=i) %}{% endfor %}{% "
      "endfor %}",
  };
  for (const std::string_view hog : kHogs) {
    const std::clock_t start = std::clock();
    const Result<std::string> result = render(hog, Json::object(), {.steps = 2'000'000});
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, 5) << hog;  // of this process, not of a busy machine; generous for sanitizers
    ASSERT_FALSE(result) << hog;
    EXPECT_EQ(result.error().kind, ErrorKind::kTooLarge) << hog << "\n" << result.error().message;
  }
}

TEST(JinjaTemplate, LimitsAreThoseGiven) {
  EXPECT_EQ(error_of("{% for a in range(50) %}{% endfor %}", Json::object(), {.steps = 100}),
            "t: line 1: the template needs more than the 100 steps of work allowed");
  EXPECT_EQ(error_of("{{ 'abcdef' }}", Json::object(), {.output_bytes = 5}),
            "t: line 1: the template prints more than 5 bytes");
  EXPECT_EQ(error_of("abcdef", Json::object(), {.template_bytes = 5}),
            "t: a template of 6 bytes, at most 5 are allowed");
  EXPECT_EQ(
      error_of("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", Json::object(), {.recursion = 50}),
      "t: line 1: macros call each other too deeply (more than 50 levels of evaluation)");
}

TEST(JinjaTemplate, NestingIsBounded) {
  const auto repeat = [](std::string_view text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  constexpr int kMany = 20'000;
  const std::string kDeep[] = {
      "{{ " + repeat("(", kMany) + "1" + repeat(")", kMany) + " }}",
      "{{ " + repeat("[", kMany) + repeat("]", kMany) + " }}",
      "{{ " + repeat("{1:", kMany) + "1" + repeat("}", kMany) + " }}",
      "{{ " + repeat("not ", kMany) + "1 }}",
      "{{ " + repeat("- ", kMany) + "1 }}",
      "{{ 1" + repeat(" + 1", kMany) + " }}",
      "{{ 1" + repeat(" or 1", kMany) + " }}",
      "{{ 1" + repeat(" if 1 else 1", kMany) + " }}",
      "{{ 1" + repeat("|string", kMany) + " }}",
      "{{ 1" + repeat(" is defined", kMany) + " }}",
      "{{ x" + repeat(".a", kMany) + " }}",
      "{{ x" + repeat("[0]", kMany) + " }}",
      "{{ x" + repeat("()", kMany) + " }}",
      "{{ " + repeat("x[", kMany) + "0" + repeat("]", kMany) + " }}",
      "{{ " + repeat("x(", kMany) + repeat(")", kMany) + " }}",
      repeat("{% if 1 %}", kMany / 10) + repeat("{% endif %}", kMany / 10),
      repeat("{% for a in b %}", kMany / 10) + repeat("{% endfor %}", kMany / 10),
      repeat("{% macro a() %}", kMany / 10) + repeat("{% endmacro %}", kMany / 10),
      "{% set " + repeat("(", kMany) + "a" + repeat(")", kMany) + " = 1 %}",
  };
  for (const std::string& text : kDeep) EXPECT_FALSE(render(text)) << text.substr(0, 40);
  EXPECT_EQ(rendered("{{ 1" + repeat(" + 1", 250) + " }}"), "251");
  EXPECT_EQ(rendered("{{ " + repeat("(", 40) + "1" + repeat(")", 40) + " }}"), "1");
  EXPECT_EQ(rendered(repeat("{% if 1 %}", 80) + "x" + repeat("{% endif %}", 80)), "x");
}

// A macro may hold the scope that holds it, and a namespace may hold itself.
TEST(JinjaTemplate, CyclesAreHarmless) {
  EXPECT_EQ(rendered("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me is sameas ns }}"), "True");
  EXPECT_EQ(rendered("{% macro m() %}{% set n = m %}{{ n is callable }}{% endmacro %}{{ m() }}"), "True");
  EXPECT_EQ(
      rendered(
          "{% set ns = namespace() %}{% for a in [1, 2] %}{% set ns.loop = loop %}{% endfor %}"
          "{{ ns.loop.index }}{{ ns.loop.previtem is defined }}{% if ns.loop.changed(ns) %}!{% endif %}"),
      "2False!");
  EXPECT_EQ(rendered("{% set ns = namespace() %}{% for a in [7] %}{% macro m() %}{{ a }}{% endmacro %}"
                     "{% set ns.m = m %}{% endfor %}{{ ns.m() }}"),
            "7");
}

// Every prefix of a real template, and the template without each of its tags, is an error or a text.
TEST(JinjaTemplate, MalformedTemplatesAreErrors) {
  const auto folder = shared_folder() / "data" / "chat" / "templates";
  CADRE_REQUIRE_SHARED(folder);
  const Json variables = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"bos_token", "<s>"}};
  const Limits limits{.steps = 100'000};
  int parsed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto text = read_text_file(entry.path());
    ASSERT_TRUE(text);
    for (size_t length = 0; length < text->size(); length += 3)
      parsed += render(std::string_view(*text).substr(0, length), variables, limits).has_value() ? 1 : 0;
    for (size_t tag = text->find("{%"); tag != text->npos; tag = text->find("{%", tag + 1)) {
      std::string broken = *text;
      broken.erase(tag, broken.find("%}", tag) + 2 - tag);
      parsed += render(broken, variables, limits).has_value() ? 1 : 0;
    }
  }
  EXPECT_GT(parsed, 100);
}

TEST(JinjaTemplate, CanBeRenderedManyTimes) {
  const auto program = Template::parse("{% set a = b + 1 %}{{ a }}", "t");
  ASSERT_TRUE(program);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*program->render(Json{{"b", i}}), std::to_string(i + 1));
}

}  // namespace
}  // namespace cadre::jinja
