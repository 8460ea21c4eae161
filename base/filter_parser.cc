// SPDX-License-Identifier: Apache-2.0
#include "base/filter_parser.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "base/identifiers.h"

namespace ctrd::base::filter {
namespace {

constexpr char32_t kEnd = 0xffffffff;      // Past the last character.
constexpr char32_t kIllegal = 0xfffffffe;  // A zero byte, or bytes that are no UTF-8.

enum class TokenKind { kEnd, kIllegal, kField, kQuoted, kValue, kOperator, kSeparator, kOther };

struct Token {
  TokenKind kind;
  size_t position;
  std::string_view text;
};

bool IsField(char32_t c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool IsOperator(char32_t c) { return c == '=' || c == '!' || c == '~'; }
bool IsQuote(char32_t c) { return c == '"' || c == '/' || c == '|'; }

bool IsSpace(char32_t c) {
  return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

// Visible characters: not controls, format characters, or private use.
bool IsGraphic(char32_t c) {
  if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0xfeff) return false;
  if ((c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e)) return false;
  if (c >= 0x2060 && c <= 0x206f) return false;
  return !(c >= 0xe000 && c <= 0xf8ff) && c <= 0x10ffff;
}

bool IsValue(char32_t c) { return c != ',' && !IsSpace(c) && IsGraphic(c); }

int DigitValue(char32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<int>(c - 'A' + 10);
  return 16;
}

// How many digits an escape has after the backslash and, for x, u and U, that letter.
struct NumericEscape {
  int base = 0;  // 0: no numeric escape.
  int digits = 0;
};

NumericEscape NumericEscapeOf(char32_t c) {
  if (c >= '0' && c <= '7') return {8, 3};
  if (c == 'x') return {16, 2};
  if (c == 'u') return {16, 4};
  if (c == 'U') return {16, 8};
  return {};
}

constexpr std::string_view kEscapeLetters = "abfnrtv\\";
constexpr std::string_view kEscapedBytes = "\a\b\f\n\r\t\v\\";

void AppendUtf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

// Cuts the input into tokens. What a character means depends on what came before it: after an
// operator nearly everything is a value.
class Scanner {
 public:
  explicit Scanner(std::string_view input) : input_(input) {}

  Token Next();
  char32_t Peek() const { return Decode(next_).first; }
  size_t position() const { return next_; }
  // Why the last token was illegal.
  const std::string& error() const { return error_; }

 private:
  std::pair<char32_t, size_t> Decode(size_t position) const;
  char32_t Advance();
  template <typename Predicate>
  void SkipWhile(Predicate predicate) {
    while (Peek() < kIllegal && predicate(Peek())) Advance();
  }
  bool ScanQuoted(char32_t quote);
  bool ScanEscape(char32_t quote);
  Token Make(TokenKind kind, size_t start) const {
    return {kind, start, input_.substr(start, next_ - start)};
  }

  std::string_view input_;
  size_t next_ = 0;
  bool value_expected_ = false;
  std::string error_;
};

std::pair<char32_t, size_t> Scanner::Decode(size_t position) const {
  if (position >= input_.size()) return {kEnd, 0};
  const std::string_view rest = input_.substr(position);
  const auto lead = static_cast<uint8_t>(rest[0]);
  if (lead == 0) return {kIllegal, 1};
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || rest.size() < bytes) return {kIllegal, 1};
  char32_t value = lead & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<uint8_t>(rest[i]);
    if ((next & 0xc0) != 0x80) return {kIllegal, 1};
    value = value << 6 | (next & 0x3fu);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < kSmallest[bytes] || value > 0x10ffff || surrogate) return {kIllegal, 1};
  return {value, bytes};
}

char32_t Scanner::Advance() {
  const auto [c, bytes] = Decode(next_);
  if (c == kIllegal) error_ = input_[next_] == '\0' ? "unexpected null" : "rune error";
  next_ += bytes;
  return c;
}

Token Scanner::Next() {
  SkipWhile(IsSpace);
  const size_t start = next_;
  const char32_t c = Advance();
  if (c == kEnd) return Make(TokenKind::kEnd, start);
  if (c == kIllegal) return Make(TokenKind::kIllegal, start);
  if (IsQuote(c)) {
    return Make(ScanQuoted(c) ? TokenKind::kQuoted : TokenKind::kIllegal, start);
  }
  if (c == ',' || c == '.') {
    value_expected_ = false;
    return Make(TokenKind::kSeparator, start);
  }
  if (IsOperator(c)) {
    SkipWhile(IsOperator);
    value_expected_ = true;
    return Make(TokenKind::kOperator, start);
  }
  if (value_expected_) {
    SkipWhile(IsValue);
    value_expected_ = false;
    return Make(TokenKind::kValue, start);
  }
  if (!IsField(c)) return Make(TokenKind::kOther, start);
  SkipWhile(IsField);
  return Make(TokenKind::kField, start);
}

bool Scanner::ScanQuoted(char32_t quote) {
  for (char32_t c = Advance(); c != quote; c = Advance()) {
    if (c == '\n' || c >= kIllegal) {
      error_ = "quoted literal not terminated";
      return false;
    }
    if (c == '\\' && !ScanEscape(quote)) return false;
  }
  return true;
}

bool Scanner::ScanEscape(char32_t quote) {
  const char32_t c = Advance();
  if (c == quote) return true;
  if (c < 0x80 && kEscapeLetters.find(static_cast<char>(c)) != std::string_view::npos) return true;
  const NumericEscape escape = NumericEscapeOf(c);
  if (escape.base == 0) {
    error_ = c == kEnd ? "quoted literal not terminated" : "illegal escape sequence";
    return false;
  }
  for (int digits = escape.base == 8 ? 1 : 0; digits < escape.digits; ++digits) {
    if (DigitValue(Peek()) >= escape.base) {
      error_ = "illegal numeric escape sequence";
      return false;
    }
    Advance();
  }
  return true;
}

// The text between the quotes with its escapes replaced; nullopt for numbers out of range. The
// scanner has checked the form.
std::optional<std::string> Unquote(std::string_view quoted) {
  std::string text;
  const std::string_view inner = quoted.substr(1, quoted.size() - 2);
  for (size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] != '\\') {
      text += inner[i];
      continue;
    }
    const char c = inner[++i];
    if (const size_t letter = kEscapeLetters.find(c); letter != std::string_view::npos) {
      text += kEscapedBytes[letter];
      continue;
    }
    const NumericEscape escape = NumericEscapeOf(static_cast<uint8_t>(c));
    if (escape.base == 0) {  // The quote itself.
      text += c;
      continue;
    }
    if (escape.base != 8) ++i;
    uint64_t number = 0;
    for (int digit = 0; digit < escape.digits; ++digit) {
      number = number * escape.base + DigitValue(static_cast<uint8_t>(inner[i + digit]));
    }
    i += escape.digits - 1;
    const bool byte = escape.base == 8 || c == 'x';
    if (byte ? number > 255 : number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)) {
      return std::nullopt;
    }
    if (byte) {
      text += static_cast<char>(number);
    } else {
      AppendUtf8(static_cast<char32_t>(number), text);
    }
  }
  return text;
}

class Parser {
 public:
  explicit Parser(std::string_view input) : input_(input), scanner_(input) {}

  absl::StatusOr<std::vector<Selector>> Parse();

 private:
  absl::StatusOr<Selector> ParseSelector();
  absl::StatusOr<std::vector<std::string>> ParsePath();
  absl::StatusOr<std::string> ParseField();
  absl::StatusOr<Test> ParseOperator();
  absl::StatusOr<std::string> ParseValue(Test test);
  absl::StatusOr<std::string> ParseQuoted(const Token& token, bool regex_quotes);
  absl::Status Error(size_t position, std::string_view what) const;

  std::string_view input_;
  Scanner scanner_;
};

absl::Status Parser::Error(size_t position, std::string_view what) const {
  std::string where(input_);
  if (position < input_.size()) {
    where = fmt::format("{} >|{}|< {}", input_.substr(0, position), input_.substr(position, 1),
                        input_.substr(position + 1));
  }
  return InvalidArgument("filters: parse error: [{}]: {}", where, what);
}

absl::StatusOr<std::vector<Selector>> Parser::Parse() {
  std::vector<Selector> selectors;
  for (;;) {
    ASSIGN_OR_RETURN(Selector selector, ParseSelector());
    selectors.push_back(std::move(selector));
    const char32_t c = scanner_.Peek();
    if (c == kEnd) return selectors;
    if (c != ',') {
      std::string found;
      AppendUtf8(c == kIllegal ? U'\ufffd' : c, found);
      return Error(scanner_.position(), fmt::format("unexpected input: {}", found));
    }
    scanner_.Next();
  }
}

absl::StatusOr<Selector> Parser::ParseSelector() {
  Selector selector;
  ASSIGN_OR_RETURN(selector.path, ParsePath());
  if (scanner_.Peek() == ',' || scanner_.Peek() == kEnd) return selector;
  ASSIGN_OR_RETURN(selector.test, ParseOperator());
  ASSIGN_OR_RETURN(selector.value, ParseValue(selector.test));
  return selector;
}

absl::StatusOr<std::vector<std::string>> Parser::ParsePath() {
  std::vector<std::string> path;
  for (;;) {
    ASSIGN_OR_RETURN(std::string field, ParseField());
    path.push_back(std::move(field));
    if (scanner_.Peek() != '.') return path;
    scanner_.Next();
  }
}

absl::StatusOr<std::string> Parser::ParseField() {
  const Token token = scanner_.Next();
  switch (token.kind) {
    case TokenKind::kField:
      return std::string(token.text);
    case TokenKind::kQuoted:
      return ParseQuoted(token, false);
    case TokenKind::kIllegal:
      return Error(token.position, scanner_.error());
    default:
      return Error(token.position, "expected field or quoted");
  }
}

absl::StatusOr<Test> Parser::ParseOperator() {
  const Token token = scanner_.Next();
  if (token.kind == TokenKind::kIllegal) return Error(token.position, scanner_.error());
  if (token.kind != TokenKind::kOperator) {
    return Error(token.position, R"(expected an operator ("=="|"!="|"~="))");
  }
  if (token.text == "==") return Test::kEqual;
  if (token.text == "!=") return Test::kNotEqual;
  if (token.text == "~=") return Test::kMatches;
  return Error(token.position, fmt::format("unsupported operator {}", Quote(token.text)));
}

absl::StatusOr<std::string> Parser::ParseValue(Test test) {
  const Token token = scanner_.Next();
  switch (token.kind) {
    case TokenKind::kValue:
    case TokenKind::kField:
      return std::string(token.text);
    case TokenKind::kQuoted:
      return ParseQuoted(token, test == Test::kMatches);
    case TokenKind::kIllegal:
      return Error(token.position, scanner_.error());
    default:
      return Error(token.position, "expected value or quoted");
  }
}

absl::StatusOr<std::string> Parser::ParseQuoted(const Token& token, bool regex_quotes) {
  if (token.text[0] != '"' && !regex_quotes) {
    return Error(token.position, "invalid quote encountered");
  }
  std::optional<std::string> text = Unquote(token.text);
  if (!text) return Error(token.position, "unquoting failed: quote syntax error");
  return *std::move(text);
}

}  // namespace

absl::StatusOr<std::vector<Selector>> Parse(std::string_view text) {
  if (text.empty()) return std::vector<Selector>();
  return Parser(text).Parse();
}

}  // namespace ctrd::base::filter
