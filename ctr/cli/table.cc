// SPDX-License-Identifier: Apache-2.0
#include "ctr/cli/table.h"

#include <algorithm>
#include <cstdio>

namespace ctrd::ctr {
namespace {

constexpr size_t kTabWidth = 8;

size_t CharactersOf(std::string_view text) {  // UTF-8: all but continuation bytes.
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

}  // namespace

void Table::Write(std::string_view text) {
  for (char c : text) {
    if (lines_.back().empty()) lines_.back().emplace_back();
    if (c == '\n') {
      lines_.emplace_back();
    } else if (c == '\t') {
      lines_.back().emplace_back();
    } else {
      lines_.back().back() += c;
    }
  }
}

void Table::Row(const std::vector<std::string>& cells) {
  for (const std::string& cell : cells) Write(cell + "\t");
  Write("\n");
}

std::string Table::Take() {
  for (Line& line : lines_) {
    if (line.empty()) line.emplace_back();
  }
  std::string out;
  Format(out, 0, lines_.size());
  lines_.assign(1, {});
  return out;
}

void Table::Print() {
  const std::string text = Take();
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void Table::Format(std::string& out, size_t first, size_t end) {
  const size_t column = widths_.size();
  const auto has_cell = [&](size_t line) { return column + 1 < lines_[line].size(); };
  for (size_t line = first; line < end; ++line) {
    if (!has_cell(line)) continue;
    WriteLines(out, first, line);
    first = line;
    size_t width = style_.minimum_width;
    for (; line < end && has_cell(line); ++line) {
      width = std::max(width, CharactersOf(lines_[line][column]) + style_.padding);
    }
    widths_.push_back(width);
    Format(out, first, line);
    widths_.pop_back();
    first = line;
  }
  WriteLines(out, first, end);
}

void Table::WriteLines(std::string& out, size_t first, size_t end) const {
  for (size_t i = first; i < end; ++i) {
    const Line& line = lines_[i];
    for (size_t cell = 0; cell < line.size(); ++cell) {
      out += line[cell];
      if (cell < widths_.size()) Pad(out, CharactersOf(line[cell]), widths_[cell]);
    }
    if (i + 1 < lines_.size()) out += '\n';
  }
}

void Table::Pad(std::string& out, size_t text_width, size_t cell_width) const {
  if (style_.fill != '\t') {
    out.append(cell_width - text_width, style_.fill);
    return;
  }
  cell_width = (cell_width + kTabWidth - 1) / kTabWidth * kTabWidth;
  out.append((cell_width - text_width + kTabWidth - 1) / kTabWidth, '\t');
}

}  // namespace ctrd::ctr
