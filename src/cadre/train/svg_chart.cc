#include "cadre/train/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace cadre::train {
namespace {

// Sizes in SVG units; the page scales the whole.
constexpr double kWidth = 760;
constexpr double kHeight = 260;
constexpr double kLeft = 56;
constexpr double kRight = 16;
constexpr double kTop = 34;
constexpr double kBottom = 36;
constexpr double kCellHeight = 9;
constexpr double kBandGap = 5;  // before a row with a name
constexpr size_t kMostPoints = 1000;
constexpr int kTicks = 5;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

bool finite(const ChartPoint& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points) {
  std::vector<ChartPoint> kept;
  std::copy_if(points.begin(), points.end(), std::back_inserter(kept), finite);
  if (kept.size() <= kMostPoints) return kept;
  std::vector<ChartPoint> means;
  for (size_t i = 0; i < kMostPoints; ++i) {
    const size_t begin = i * kept.size() / kMostPoints;
    const size_t end = (i + 1) * kept.size() / kMostPoints;
    ChartPoint mean;
    for (size_t j = begin; j < end; ++j) {
      mean.x += kept[j].x / static_cast<double>(end - begin);
      mean.y += kept[j].y / static_cast<double>(end - begin);
    }
    means.push_back(mean);
  }
  return means;
}

/// A distance of 1, 2 or 5 times a power of ten that divides `span` into about kTicks parts.
double tick_distance(double span) {
  const double raw = span / kTicks;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (raw <= factor * power) return factor * power;
  return 10 * power;
}

std::string short_number(double value) {
  if (std::abs(value) >= 1e6) return fmt::format("{:g}M", value * 1e-6);
  if (std::abs(value) >= 1e3) return fmt::format("{:g}k", value * 1e-3);
  return fmt::format("{:g}", std::abs(value) < 1e-12 ? 0 : value);
}

std::string svg_begin(double height, const std::string& title) {
  return fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n<text class=\"title\" x=\"{}\" "
      "y=\"18\">{}</text>\n",
      kWidth, height, escape_html(title), kLeft, escape_html(title));
}

/// Maps values to places in the plot.
struct Scale {
  Range x;
  Range y;
  double place_x(double value) const {
    return kLeft + (value - x.low) / (x.high - x.low) * (kWidth - kLeft - kRight);
  }
  double place_y(double value) const {
    return kHeight - kBottom - (value - y.low) / (y.high - y.low) * (kHeight - kTop - kBottom);
  }
};

Scale scale_of(std::span<const ChartLine> lines) {
  Scale scale;
  scale.x.include(0);
  for (const ChartLine& line : lines)
    for (const ChartPoint& point : line.points)
      if (finite(point)) {
        scale.x.include(point.x);
        scale.y.include(point.y);
      }
  if (scale.x.high <= scale.x.low) scale.x.high = scale.x.low + 1;
  if (!std::isfinite(scale.y.low)) scale.y = {0, 1};
  const double distance = tick_distance(std::max(scale.y.high - scale.y.low, 1e-9));
  scale.y.low = std::floor(scale.y.low / distance) * distance;
  scale.y.high = std::max(std::ceil(scale.y.high / distance) * distance, scale.y.low + distance);
  return scale;
}

std::string grid(const Scale& scale, const std::string& x_name) {
  std::string svg;
  const double y_distance = tick_distance(scale.y.high - scale.y.low);
  for (double y = scale.y.low; y <= scale.y.high + y_distance / 2; y += y_distance)
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text class=\"tick end\" "
        "x=\"{3}\" y=\"{4:.1f}\">{5}</text>\n",
        kLeft, kWidth - kRight, scale.place_y(y), kLeft - 6, scale.place_y(y) + 4, short_number(y));
  const double x_distance = tick_distance(scale.x.high - scale.x.low);
  for (double x = 0; x <= scale.x.high; x += x_distance)
    svg += fmt::format("<text class=\"tick middle\" x=\"{:.1f}\" y=\"{}\">{}</text>\n", scale.place_x(x),
                       kHeight - kBottom + 16, short_number(x));
  svg += fmt::format("<text class=\"tick end\" x=\"{}\" y=\"{}\">{}</text>\n", kWidth - kRight, kHeight - 4,
                     escape_html(x_name));
  return svg;
}

/// Blue below 1, red above, white at 1.
std::string cell_colour(double value) {
  const double away = std::min(std::abs(value - 1), 1.0);
  const auto mixed = [&](int full) { return static_cast<int>(255 + away * (full - 255)); };
  return value < 1 ? fmt::format("rgb({},{},255)", mixed(40), mixed(90))
                   : fmt::format("rgb(255,{},{})", mixed(70), mixed(40));
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string line_chart(const std::string& title, const std::string& x_name,
                       std::span<const ChartLine> lines) {
  const Scale scale = scale_of(lines);
  std::string svg = svg_begin(kHeight, title) + grid(scale, x_name);
  double legend_x = kWidth - kRight;
  for (size_t i = lines.size(); i-- > 0;) {
    std::string points;
    for (const ChartPoint& point : thinned(lines[i].points))
      points += fmt::format("{:.1f},{:.1f} ", scale.place_x(point.x), scale.place_y(point.y));
    svg += fmt::format("<polyline class=\"series-{}\" points=\"{}\"/>\n", i, points);
    svg += fmt::format("<text class=\"legend end series-{}\" x=\"{}\" y=\"18\">{}</text>\n", i, legend_x,
                       escape_html(lines[i].name));
    legend_x -= 12 + 7.0 * static_cast<double>(lines[i].name.size());
  }
  return svg + "</svg>\n";
}

std::string heat_map(const std::string& title, const std::string& x_name,
                     std::span<const std::string> row_names, std::span<const std::vector<double>> rows) {
  const auto bands =
      std::count_if(row_names.begin(), row_names.end(), [](auto& name) { return !name.empty(); });
  const double height =
      kTop + kCellHeight * static_cast<double>(rows.size()) + kBandGap * static_cast<double>(bands) + 20;
  std::string svg = svg_begin(height, title);
  double y = kTop - kCellHeight;
  for (size_t r = 0; r < rows.size(); ++r) {
    y += row_names[r].empty() ? kCellHeight : kCellHeight + kBandGap;
    if (!row_names[r].empty())
      svg += fmt::format("<text class=\"tick end\" x=\"{}\" y=\"{:.1f}\">{}</text>\n", kLeft - 6,
                         y + kCellHeight, escape_html(row_names[r]));
    const double width = (kWidth - kLeft - kRight) / static_cast<double>(rows[r].size());
    for (size_t c = 0; c < rows[r].size(); ++c)
      svg += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{}\" "
          "fill=\"{}\"><title>{:.2f}</title></rect>\n",
          kLeft + width * static_cast<double>(c), y, width, kCellHeight, cell_colour(rows[r][c]), rows[r][c]);
  }
  svg += fmt::format("<text class=\"tick end\" x=\"{}\" y=\"{:.1f}\">{}</text>\n", kWidth - kRight,
                     height - 4, escape_html(x_name));
  return svg + "</svg>\n";
}

}  // namespace cadre::train
