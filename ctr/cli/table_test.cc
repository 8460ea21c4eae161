// SPDX-License-Identifier: Apache-2.0
#include "ctr/cli/table.h"

#include <gtest/gtest.h>

namespace ctrd::ctr {
namespace {

TEST(TableTest, ColumnsAreAsWideAsTheirWidestCell) {
  Table table(Table::kNarrow);
  table.Row({"NAME", "LABELS"});
  table.Row({"default", ""});
  EXPECT_EQ(table.Take(), "NAME    LABELS \ndefault        \n");
}

TEST(TableTest, WideStyleHasFourBlanks) {
  Table table(Table::kWide);
  table.Row({"TASK", "PID", "STATUS"});
  table.Write("c1\t11801\tRUNNING\n");
  EXPECT_EQ(table.Take(), "TASK    PID      STATUS    \nc1      11801    RUNNING\n");
}

TEST(TableTest, TabsFillUpToStopsOfEight) {
  Table table(Table::kTabs);
  table.Row({"REF", "SIZE", "AGE"});
  table.Row({"ctrpref2", "6B", "Less than a second"});
  EXPECT_EQ(table.Take(), "REF\t\tSIZE\tAGE\t\t\t\nctrpref2\t6B\tLess than a second\t\n");
}

TEST(TableTest, ALineWithoutCellsEndsTheColumn) {
  Table table(Table::kNarrow);
  table.Write("a\tb\nlong line without cells\nccc\td\n");
  EXPECT_EQ(table.Take(), "a b\nlong line without cells\nccc d\n");
}

TEST(TableTest, EmptyCellsAreOfTheirColumn) {
  Table table(Table::kWide);
  table.Write("Type:\t t\nExports:\t\n\t root \t /x\n\t\t\t\n");
  EXPECT_EQ(table.Take(),
            "Type:        t\n"
            "Exports:    \n"
            "             root      /x\n"
            "                          \n");
}

}  // namespace
}  // namespace ctrd::ctr
