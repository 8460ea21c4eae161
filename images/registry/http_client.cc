// SPDX-License-Identifier: Apache-2.0
#include "images/registry/http_client.h"

#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "base/files.h"
#include "base/status.h"
#include "images/registry/curl_library.h"

namespace ctrd::registry {
namespace {

constexpr size_t kBufferBytes = 1 << 20;       // Of one body, between driver and reader.
constexpr size_t kMaxHeaderBytes = 256 << 10;  // Of one response.
constexpr long kSlowBytesPerSecond = 512;      // Slower than this for kSlowSeconds: given up.
constexpr long kSlowSeconds = 30;
constexpr long kSlowUploadSeconds = 120;  // A registry may think long about what it got.
constexpr auto kContextCheckInterval = std::chrono::milliseconds(50);

struct EasyDeleter {
  void operator()(CURL* easy) const { Curl().easy_cleanup(easy); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { Curl().slist_free_all(list); }
};

class Driver;

}  // namespace

// One exchange, shared by the driving thread and its reader.
struct HttpExchange::State {
  HttpRequest request;
  Driver* driver = nullptr;
  // Of the driving thread alone, once queued.
  std::unique_ptr<CURL, EasyDeleter> easy;
  std::unique_ptr<curl_slist, ListDeleter> header_list;
  std::string ca_blob;
  int64_t sent_bytes = 0;
  size_t header_bytes = 0;
  char error_text[CURL_ERROR_SIZE] = {};

  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by `mutex`.
  HttpResponse response;
  std::string buffer;
  bool header_complete = false;
  bool paused = false;
  bool finished = false;  // No more will come; `result` says how it ended.
  bool removed = true;    // The driver no longer knows this exchange.
  absl::Status result;
};

namespace {

using State = HttpExchange::State;
using StatePtr = std::shared_ptr<State>;

absl::Status StatusOfCurl(CURLcode code, const State& state) {
  if (code == CURLE_OK) return absl::OkStatus();
  const std::string text = state.error_text[0] != 0 ? state.error_text : Curl().easy_strerror(code);
  const std::string where = fmt::format("{} {}", state.request.method,
                                        state.request.url.substr(0, state.request.url.find('?')));
  switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
      return base::MakeError(absl::StatusCode::kUnavailable,
                             fmt::format("tls: {}: {}", where, text));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_ABORTED_BY_CALLBACK:
      return base::Unknown("{}: {}", where, text);
    default:
      return base::Unavailable("{}: {}", where, text);
  }
}

void ParseStatusLine(std::string_view line, HttpResponse& response) {
  response = HttpResponse{};
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return;
  response.status_line = line.substr(space + 1);
  std::from_chars(response.status_line.data(),
                  response.status_line.data() + response.status_line.size(), response.status);
  // Servers may leave the reason out, and people need one.
  while (response.status_line.ends_with(' ')) response.status_line.pop_back();
}

size_t OnHeader(char* data, size_t size, size_t count, void* pointer) {
  auto* state = static_cast<State*>(pointer);
  std::string_view line(data, size * count);
  state->header_bytes += line.size();
  if (state->header_bytes > kMaxHeaderBytes) return 0;
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  const std::lock_guard lock(state->mutex);
  if (state->header_complete) return size * count;  // A trailer.
  if (line.starts_with("HTTP/")) {
    ParseStatusLine(line, state->response);
  } else if (line.empty()) {
    state->header_complete = state->response.status >= 200;
    if (state->header_complete) state->changed.notify_all();
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    std::string name(line.substr(0, colon));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
    state->response.headers.emplace_back(std::move(name), value);
  }
  return size * count;
}

size_t OnBody(char* data, size_t size, size_t count, void* pointer) {
  auto* state = static_cast<State*>(pointer);
  const std::lock_guard lock(state->mutex);
  if (state->buffer.size() >= kBufferBytes) {
    state->paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  state->buffer.append(data, size * count);
  state->changed.notify_all();
  return size * count;
}

size_t OnUpload(char* data, size_t size, size_t count, void* pointer) {
  auto* state = static_cast<State*>(pointer);
  const HttpBody& body = state->request.body;
  const auto wanted = static_cast<size_t>(
      std::min<int64_t>(static_cast<int64_t>(size * count), body.size_bytes - state->sent_bytes));
  if (wanted == 0) return 0;
  const absl::StatusOr<size_t> got = body.read_at(state->sent_bytes, {data, wanted});
  if (!got.ok() || *got == 0) return CURL_READFUNC_ABORT;
  state->sent_bytes += static_cast<int64_t>(*got);
  return *got;
}

int OnSeek(void* pointer, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<State*>(pointer)->sent_bytes = offset;
  return CURL_SEEKFUNC_OK;
}

curl_socket_t OnOpenSocket(void*, curlsocktype, curl_sockaddr* address) {
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// curl alone ignores HTTP_PROXY in capitals, because CGI programs must.
void SetProxy(CURL* easy, const HttpRequest& request) {
  const std::string_view url = request.url;
  const size_t start = url.find("://") + 3;
  std::string_view host = url.substr(start, url.find_first_of("/?", start) - start);
  if (host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]")) {
    Curl().easy_setopt(easy, CURLOPT_PROXY, "");
    return;
  }
  const char* proxy = ::getenv("HTTP_PROXY");
  if (url.starts_with("http://") && ::getenv("http_proxy") == nullptr && proxy != nullptr) {
    Curl().easy_setopt(easy, CURLOPT_PROXY, proxy);
  }
}

absl::Status SetTls(State& state) {
  CURL* easy = state.easy.get();
  const TlsOptions& tls = state.request.tls;
  if (tls.skip_verify) {
    Curl().easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    Curl().easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  for (const std::string& file : tls.ca_files) {
    ASSIGN_OR_RETURN(const std::string pem, base::ReadFile(file, 4 << 20));
    state.ca_blob += pem + "\n";
  }
  if (!state.ca_blob.empty()) {
    curl_blob blob{state.ca_blob.data(), state.ca_blob.size(), CURL_BLOB_NOCOPY};
    Curl().easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    Curl().easy_setopt(easy, CURLOPT_CAPATH, "/etc/ssl/certs");
  }
  if (!tls.certificate_file.empty()) {
    Curl().easy_setopt(easy, CURLOPT_SSLCERT, tls.certificate_file.c_str());
    Curl().easy_setopt(easy, CURLOPT_SSLKEY,
                       tls.key_file.empty() ? tls.certificate_file.c_str() : tls.key_file.c_str());
  }
  return absl::OkStatus();
}

void SetMethod(State& state) {
  CURL* easy = state.easy.get();
  const HttpRequest& request = state.request;
  if (request.method == "HEAD") {
    Curl().easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return;
  }
  if (request.body.read_at) {
    Curl().easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    Curl().easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size_bytes));
    Curl().easy_setopt(easy, CURLOPT_READFUNCTION, OnUpload);
    Curl().easy_setopt(easy, CURLOPT_READDATA, &state);
    Curl().easy_setopt(easy, CURLOPT_SEEKFUNCTION, OnSeek);
    Curl().easy_setopt(easy, CURLOPT_SEEKDATA, &state);
  } else if (request.method == "POST" || request.method == "PUT") {
    Curl().easy_setopt(easy, CURLOPT_POSTFIELDS, "");
    Curl().easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
  }
  if (request.method != "GET") {
    Curl().easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

absl::Status Prepare(State& state) {
  state.easy.reset(Curl().easy_init());
  if (!state.easy) return base::Internal("curl_easy_init failed");
  CURL* easy = state.easy.get();
  const HttpRequest& request = state.request;
  curl_slist* list = nullptr;
  for (const auto& [name, value] : request.headers) {
    // An empty value is written "Name;", a form of curl's own.
    list = Curl().slist_append(list, (value.empty() ? name + ";" : name + ": " + value).c_str());
  }
  list = Curl().slist_append(list, "Expect:");  // Bodies can be sent again: no need to ask first.
  state.header_list.reset(list);
  Curl().easy_setopt(easy, CURLOPT_HTTPHEADER, list);
  Curl().easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  Curl().easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  Curl().easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  Curl().easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  Curl().easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Curl().easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
  Curl().easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
  Curl().easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  Curl().easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(request.connect_timeout)));
  Curl().easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, kSlowBytesPerSecond);
  Curl().easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     request.body.read_at ? kSlowUploadSeconds : kSlowSeconds);
  Curl().easy_setopt(easy, CURLOPT_HEADERFUNCTION, OnHeader);
  Curl().easy_setopt(easy, CURLOPT_HEADERDATA, &state);
  Curl().easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
  Curl().easy_setopt(easy, CURLOPT_WRITEDATA, &state);
  Curl().easy_setopt(easy, CURLOPT_ERRORBUFFER, state.error_text);
  Curl().easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, OnOpenSocket);
  Curl().easy_setopt(easy, CURLOPT_PRIVATE, &state);
  if (request.accept_encoding) {
    Curl().easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5");
  }
  SetProxy(easy, request);
  SetMethod(state);
  return SetTls(state);
}

// The thread that talks to the network, and its mailbox. Both are there from the first request on.
class Driver : public HttpClient {
 public:
  Driver() = default;

  ~Driver() override {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    Curl().multi_wakeup(multi_);
    thread_.join();
    Curl().multi_cleanup(multi_);
  }

  absl::StatusOr<std::unique_ptr<HttpExchange>> Send(const base::Context& context,
                                                     HttpRequest request) override {
    RETURN_IF_ERROR(context.Check());
    RETURN_IF_ERROR(Start());
    auto state = std::make_shared<State>();
    state->request = std::move(request);
    state->driver = this;
    RETURN_IF_ERROR(Prepare(*state));
    auto exchange = std::make_unique<HttpExchange>(state);
    state->removed = false;
    Post(added_, state);
    std::unique_lock lock(state->mutex);
    while (!state->header_complete && !state->finished) {
      state->changed.wait_for(lock, kContextCheckInterval);
      RETURN_IF_ERROR(context.Check());
    }
    if (!state->header_complete) {
      if (state->result.ok()) return base::Unavailable("no response");
      return state->result;
    }
    return exchange;
  }

  void Resume(const StatePtr& state) { Post(resumed_, state); }

  void Remove(const StatePtr& state) {
    {
      const std::lock_guard lock(state->mutex);
      if (state->removed) return;
    }
    Post(dropped_, state);
    std::unique_lock lock(state->mutex);
    state->changed.wait(lock, [&] { return state->removed; });
  }

 private:
  absl::Status Start() {
    const std::lock_guard lock(mutex_);
    if (thread_.joinable()) return absl::OkStatus();
    RETURN_IF_ERROR(LoadCurl());
    multi_ = Curl().multi_init();
    if (multi_ == nullptr) return base::Internal("curl_multi_init failed");
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  void Post(std::deque<StatePtr>& queue, const StatePtr& state) {
    {
      const std::lock_guard lock(mutex_);
      queue.push_back(state);
    }
    Curl().multi_wakeup(multi_);
  }

  // Moves the mailbox out, so that no lock is held while curl works.
  bool TakeMail(std::deque<StatePtr>& added, std::deque<StatePtr>& resumed,
                std::deque<StatePtr>& dropped) {
    const std::lock_guard lock(mutex_);
    added.swap(added_);
    resumed.swap(resumed_);
    dropped.swap(dropped_);
    return !stopping_;
  }

  void Run() {
    for (bool running = true; running;) {
      std::deque<StatePtr> added, resumed, dropped;
      running = TakeMail(added, resumed, dropped);
      for (const StatePtr& state : added) Curl().multi_add_handle(multi_, state->easy.get());
      for (const StatePtr& state : resumed) {
        if (state->easy) Curl().easy_pause(state->easy.get(), CURLPAUSE_CONT);
      }
      int active = 0;
      Curl().multi_perform(multi_, &active);
      int left = 0;
      while (CURLMsg* message = Curl().multi_info_read(multi_, &left)) {
        if (message->msg == CURLMSG_DONE) Finish(message->easy_handle, message->data.result);
      }
      for (const StatePtr& state : dropped) Forget(*state);
      if (running) Curl().multi_poll(multi_, nullptr, 0, 1000, nullptr);
    }
  }

  static void Finish(CURL* easy, CURLcode code) {
    State* state = nullptr;
    Curl().easy_getinfo(easy, CURLINFO_PRIVATE, &state);
    const std::lock_guard lock(state->mutex);
    state->finished = true;
    state->result = StatusOfCurl(code, *state);
    state->changed.notify_all();
  }

  void Forget(State& state) {
    Curl().multi_remove_handle(multi_, state.easy.get());
    state.easy.reset();
    const std::lock_guard lock(state.mutex);
    state.removed = true;
    state.changed.notify_all();
  }

  CURLM* multi_ = nullptr;  // Of the thread.
  std::mutex mutex_;
  // Guarded by `mutex_`.
  std::deque<StatePtr> added_, resumed_, dropped_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

HttpBody HttpBody::Of(std::string text) {
  HttpBody body;
  body.size_bytes = static_cast<int64_t>(text.size());
  body.read_at = [text = std::move(text)](int64_t offset,
                                          std::span<char> buffer) -> absl::StatusOr<size_t> {
    return text.copy(buffer.data(), buffer.size(), static_cast<size_t>(offset));
  };
  return body;
}

std::string_view HttpResponse::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::vector<std::string_view> HttpResponse::AllHeaders(std::string_view name) const {
  std::vector<std::string_view> out;
  for (const auto& [key, value] : headers) {
    if (key == name) out.emplace_back(value);
  }
  return out;
}

int64_t HttpResponse::ContentLength() const {
  const std::string_view text = Header("content-length");
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 ? value : -1;
}

HttpExchange::~HttpExchange() { state_->driver->Remove(state_); }

const HttpResponse& HttpExchange::response() const { return state_->response; }

absl::Status HttpExchange::Read(const base::Context& context, std::string& chunk) {
  chunk.clear();
  bool resume = false;
  {
    std::unique_lock lock(state_->mutex);
    while (state_->buffer.empty() && !state_->finished) {
      state_->changed.wait_for(lock, kContextCheckInterval);
      RETURN_IF_ERROR(context.Check());
    }
    if (state_->buffer.empty()) return state_->result;
    chunk.swap(state_->buffer);
    resume = std::exchange(state_->paused, false);
  }
  if (resume) state_->driver->Resume(state_);
  return context.Check();
}

absl::StatusOr<std::string> HttpExchange::ReadAll(const base::Context& context,
                                                  size_t limit_bytes) {
  std::string all;
  std::string chunk;
  while (true) {
    RETURN_IF_ERROR(Read(context, chunk));
    if (chunk.empty()) return all;
    all += chunk;
    if (all.size() > limit_bytes) {
      return base::MakeError(absl::StatusCode::kResourceExhausted,
                             fmt::format("response is larger than {} bytes", limit_bytes));
    }
  }
}

std::unique_ptr<HttpClient> HttpClient::Create() { return std::make_unique<Driver>(); }

}  // namespace ctrd::registry
