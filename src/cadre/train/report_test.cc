#include "cadre/train/report.h"

#include <algorithm>

#include "cadre/base/fixtures.h"
#include "cadre/data/test_corpus.h"
#include "cadre/train/run_log.h"
#include "cadre/train/samples.h"
#include "cadre/train/svg_chart.h"

namespace cadre::train {
namespace {

using cadre::fixtures::read_file;
using cadre::fixtures::ScratchFolder;

StepReport report_of(int64_t step) {
  StepReport report{.step = step,
                    .loss = 4 - static_cast<double>(step) * 0.1,
                    .tokens = 100,
                    .total_tokens = 100 * step,
                    .seconds = 0.5};
  report.routing.max_violation = 0.25;
  if (step == 2) {
    report.held_out_loss = 3.5;
    report.loads = {{1, {30, 10}}, {2, {20, 20}}};
  }
  return report;
}

TEST(RunLog, ReadsWhatItWrites) {
  const ScratchFolder scratch;
  const auto path = scratch.file("log.jsonl", log_line(report_of(1), true) + log_line(report_of(2), true));
  const auto steps = read_run_log(path);
  ASSERT_TRUE(steps) << steps.error().message;
  ASSERT_EQ(steps->size(), 2u);
  EXPECT_EQ((*steps)[0].loss, 3.9);
  EXPECT_FALSE((*steps)[0].held_out_loss);
  EXPECT_EQ((*steps)[1].tokens, 200);
  EXPECT_EQ((*steps)[1].held_out_loss, 3.5);
  EXPECT_EQ((*steps)[1].max_violation, 0.25);
  ASSERT_EQ((*steps)[1].loads.size(), 2u);
  EXPECT_EQ((*steps)[1].loads[0].layer, 1);
  EXPECT_EQ((*steps)[1].loads[0].tokens, (std::vector<int64_t>{30, 10}));
}

TEST(RunLog, NamesLineAndFieldOfWhatIsWrong) {
  const ScratchFolder scratch;
  const std::string good = log_line(report_of(1), false);
  const auto error_of = [&](const std::string& line) {
    const auto steps = read_run_log(scratch.file("log.jsonl", good + line));
    return steps ? std::string() : steps.error().message;
  };
  EXPECT_NE(error_of("{\"step\": ").find("log.jsonl:2"), std::string::npos);
  EXPECT_NE(error_of("[]\n").find("log.jsonl:2: expected an object"), std::string::npos);
  EXPECT_NE(error_of(R"({"step": 0, "tokens": 1, "loss": 1, "seconds": 1})").find("field 'step'"),
            std::string::npos);
  const std::string step = R"({"step": 1, "tokens": 1, "loss": 1, "seconds": 1, "loads": )";
  EXPECT_NE(error_of(step + "3}").find("field 'loads'"), std::string::npos);
  EXPECT_NE(error_of(step + R"([{"layer": 1, "tokens": [-1]}]})").find("field 'loads[0].tokens'"),
            std::string::npos);
}

TEST(Samples, ThoseOfTheSameAndLaterStepsAreReplaced) {
  const ScratchFolder scratch;
  const auto path = scratch / "samples.jsonl";
  EXPECT_TRUE(read_samples(path)->empty());
  ASSERT_TRUE(add_samples(path, std::vector{Sample{10, "a", "one"}}));
  ASSERT_TRUE(add_samples(path, std::vector{Sample{20, "a", "two"}, Sample{20, "b", "\"<"}}));
  ASSERT_TRUE(add_samples(path, std::vector{Sample{15, "a", "other"}}));
  const auto samples = read_samples(path);
  ASSERT_TRUE(samples) << samples.error().message;
  ASSERT_EQ(samples->size(), 2u);
  EXPECT_EQ((*samples)[0].text, "one");
  EXPECT_EQ((*samples)[1].step, 15);
  EXPECT_EQ((*samples)[1].text, "other");
}

TEST(Samples, NamesLineAndFieldOfWhatIsWrong) {
  const ScratchFolder scratch;
  const auto samples = read_samples(scratch.file("s.jsonl", "{\"step\": 1, \"prompt\": \"a\"}\n"));
  ASSERT_FALSE(samples);
  EXPECT_NE(samples.error().message.find("s.jsonl:1: field 'text'"), std::string::npos)
      << samples.error().message;
}

TEST(RunReport, DrawsCurvesAndLoads) {
  const ScratchFolder scratch;
  std::string log;
  for (int64_t step = 1; step <= 3; ++step) log += log_line(report_of(step), true);
  scratch.file("log.jsonl", log);
  const Status status = write_run_report(scratch / "");
  ASSERT_TRUE(status) << status.error().message;
  const std::string html = read_file(scratch / "report.html");
  EXPECT_NE(html.find("held-out loss</dt><dd>3.5000 after step 2"), std::string::npos);
  EXPECT_NE(html.find("<title>1.50</title>"), std::string::npos);  // 30 of a mean of 20
  EXPECT_EQ(std::count(html.begin(), html.end(), '\0'), 0);
  EXPECT_NE(html.find("layer 2"), std::string::npos);
  EXPECT_EQ(html.find("Samples"), std::string::npos);

  ASSERT_TRUE(add_samples(scratch / "samples.jsonl", std::vector{Sample{3, "1 < 2?", "Yes."}}));
  ASSERT_TRUE(write_run_report(scratch / ""));
  EXPECT_NE(read_file(scratch / "report.html").find("<dt>1 &lt; 2?</dt><dd>Yes.</dd>"), std::string::npos);
}

TEST(SvgChart, SurvivesNothingAndWhatIsNotFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(line_chart("empty", "x", {}).find("</svg>"), std::string::npos);
  const std::vector lines = {ChartLine{"a<b", {{1, nan}, {2, 5}, {3, 5}}}};
  const std::string svg = line_chart("t", "x", lines);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_NE(svg.find("a&lt;b"), std::string::npos);
}

TEST(SvgChart, DrawsLongLinesAsMeans) {
  ChartLine line{.name = "l"};
  for (int i = 0; i < 10'000; ++i) line.points.push_back({static_cast<double>(i), 1.0 + i % 2});
  const std::string svg = line_chart("t", "x", std::vector{line});
  EXPECT_LT(svg.size(), 30'000u);
}

}  // namespace
}  // namespace cadre::train
