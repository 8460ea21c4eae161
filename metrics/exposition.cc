// SPDX-License-Identifier: Apache-2.0
#include "metrics/exposition.h"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"

namespace ctrd::metrics {
namespace {

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // Whole numbers that a double holds exactly are written out; others as short as they can be.
  if (value == std::floor(value) && std::abs(value) < 1e15) return fmt::format("{:.0f}", value);
  return fmt::format("{}", value);
}

// Backslashes and line ends; quotes too where the text stands in quotes.
std::string Escape(std::string_view text, bool in_quotes) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\\\";
    } else if (c == '\n') {
      escaped += "\\n";
    } else if (c == '"' && in_quotes) {
      escaped += "\\\"";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string LabelText(const base::MetricLabels& labels, const std::string& bound) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", name, Escape(value, true));
  }
  if (!bound.empty()) text += fmt::format("{}le=\"{}\"", text.empty() ? "" : ",", bound);
  return text.empty() ? text : "{" + text + "}";
}

}  // namespace

Exposition::Family& Exposition::FamilyOf(std::string_view name, std::string_view type,
                                         std::string_view help) {
  auto it = families_.find(name);
  if (it == families_.end()) {
    it = families_
             .emplace(std::string(name),
                      Family{.type = std::string(type), .help = std::string(help), .samples = {}})
             .first;
  }
  return it->second;
}

void Exposition::Add(base::MetricKind kind, std::string_view name, std::string_view help,
                     base::MetricLabels labels, double value) {
  std::sort(labels.begin(), labels.end());
  FamilyOf(name, kind == base::MetricKind::kCounter ? "counter" : "gauge", help)
      .samples.emplace(std::move(labels), std::vector<Line>{{"", "", value}});
}

void Exposition::AddTimer(std::string_view name, std::string_view help, base::MetricLabels labels,
                          const base::Timer::Snapshot& timer) {
  std::sort(labels.begin(), labels.end());
  std::vector<Line> lines;
  uint64_t count = 0;
  for (size_t i = 0; i < timer.buckets.size(); ++i) {
    count += timer.buckets[i];
    const bool last = i == base::Timer::kBounds.size();
    lines.push_back(
        {"_bucket", last ? "+Inf" : Number(base::Timer::kBounds[i]), static_cast<double>(count)});
  }
  lines.push_back({"_sum", "", timer.sum_seconds});
  lines.push_back({"_count", "", static_cast<double>(count)});
  FamilyOf(name, "histogram", help).samples.emplace(std::move(labels), std::move(lines));
}

std::string Exposition::Text() const {
  std::string text;
  for (const auto& [name, family] : families_) {
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, Escape(family.help, false), name,
                        family.type);
    for (const auto& [labels, lines] : family.samples) {
      for (const Line& line : lines) {
        text += fmt::format("{}{}{} {}\n", name, line.suffix, LabelText(labels, line.bound),
                            Number(line.value));
      }
    }
  }
  return text;
}

}  // namespace ctrd::metrics
