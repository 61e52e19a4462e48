#pragma once
/// Small charts as SVG elements for a page of HTML. Colours come from the page's style: class `series-N` of
/// the N-th line.

#include <span>
#include <string>
#include <vector>

namespace cadre::train {

struct ChartPoint {
  double x = 0;
  double y = 0;
};

struct ChartLine {
  std::string name;
  std::vector<ChartPoint> points;  ///< ascending x; those that are not finite are left out
};

/// Lines over a common x axis that begins at 0, with ticks at round numbers and a legend. Long lines are
/// drawn as the means of at most a thousand stretches.
std::string line_chart(const std::string& title, const std::string& x_name, std::span<const ChartLine> lines);

/// Cells [rows][columns] coloured by value: white at 1, one colour towards 0, another towards 2 and above.
/// Each cell tells its value when pointed at. Row r is marked row_names[r].
std::string heat_map(const std::string& title, const std::string& x_name,
                     std::span<const std::string> row_names, std::span<const std::vector<double>> rows);

/// Text as it must stand in HTML.
std::string escape_html(std::string_view text);

}  // namespace cadre::train
