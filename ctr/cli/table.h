// SPDX-License-Identifier: Apache-2.0
// Tables of text. A cell ends in a tab; neighbouring lines that have a cell at the same place form
// a column, as wide as its widest cell and some padding. What follows a line's last tab belongs to
// no column.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ctrd::ctr {

class Table {
 public:
  struct Style {
    size_t minimum_width;
    size_t padding;
    char fill;  // '\t': widths are rounded up to stops of 8.
  };
  static constexpr Style kNarrow = {1, 1, ' '};
  static constexpr Style kWide = {4, 4, ' '};
  static constexpr Style kTabs = {1, 1, '\t'};
  static constexpr Style kHelp = {1, 2, ' '};

  explicit Table(Style style) : style_(style), lines_(1) {}

  // Adds text: tabs end cells, line feeds lines.
  void Write(std::string_view text);
  // One line of `cells`, each ended by a tab.
  void Row(const std::vector<std::string>& cells);
  // The text so far, in columns; the table is empty then.
  std::string Take();
  // Take() onto standard output.
  void Print();

 private:
  using Line = std::vector<std::string>;
  void Format(std::string& out, size_t first, size_t end);
  void WriteLines(std::string& out, size_t first, size_t end) const;
  void Pad(std::string& out, size_t text_width, size_t cell_width) const;

  Style style_;
  std::vector<Line> lines_;     // The last one is being written; its last cell is open.
  std::vector<size_t> widths_;  // Of the columns around the lines being formatted.
};

}  // namespace ctrd::ctr
