// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>

#include "base/digest.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/content_commands.h"
#include "ctr/content_writer.h"
#include "ctr/output.h"
#include "services/content/v1/content.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::content::v1;
using Stub = api::Content::Stub;

constexpr size_t kChunkBytes = 1 << 20;

absl::Status List(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::ListContentRequest request;
  for (const std::string& filter : invocation.arguments()) request.add_filters(filter);
  const bool quiet = invocation.Switch("quiet");
  Table table(Table::kTabs);
  if (!quiet) table.Write("DIGEST\tSIZE\tAGE\tLABELS\n");
  RETURN_IF_ERROR(client.Stream(&Stub::List, request, [&](const api::ListContentResponse& part) {
    for (const api::Info& info : part.info()) {
      if (quiet) {
        PrintLine(info.digest());
      } else {
        table.Write(info.digest() + "\t" + DecimalSize(info.size()) + "\t" +
                    HumanDuration(absl::Now() - ToTime(info.created_at())) + "\t" +
                    JoinLabels(info.labels()) + "\n");
      }
    }
    return absl::OkStatus();
  }));
  table.Print();
  return absl::OkStatus();
}

absl::Status Get(Invocation& invocation) {
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(invocation.Argument(0)));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::ReadContentRequest request;
  request.set_digest(digest.text());
  return client.Stream(&Stub::Read, request, [](const api::ReadContentResponse& part) {
    return base::WriteAll(STDOUT_FILENO, part.data(), "standard output");
  });
}

absl::StatusOr<size_t> ReadInput(std::string& buffer) {  // Fills `buffer` unless the input ends.
  size_t filled = 0;
  while (filled < buffer.size()) {
    const ssize_t count = ::read(STDIN_FILENO, buffer.data() + filled, buffer.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus("read", "standard input");
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  return filled;
}

absl::Status CopyInput(Ingest& ingest) {
  std::string buffer(kChunkBytes, '\0');
  int64_t skip = ingest.offset();  // Of an ingest that is continued.
  while (true) {
    ASSIGN_OR_RETURN(const size_t size, ReadInput(buffer));
    std::string_view data(buffer.data(), size);
    const auto skipped = std::min<int64_t>(skip, static_cast<int64_t>(size));
    data.remove_prefix(static_cast<size_t>(skipped));
    skip -= skipped;
    if (!data.empty()) RETURN_IF_ERROR(ingest.Append(data));
    if (size < buffer.size()) return absl::OkStatus();
  }
}

absl::Status IngestInput(Invocation& invocation) {
  const std::string ref = invocation.Argument(0);
  const int64_t total = invocation.Integer("expected-size");
  const std::string expected = invocation.Text("expected-digest");
  if (!expected.empty()) RETURN_IF_ERROR(base::Digest::Parse(expected).status());
  if (ref.empty()) return base::Unknown("must specify a transaction reference");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  Ingest ingest(client, ref);
  if (absl::Status status = ingest.Begin(total, expected); !status.ok()) {
    return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
  }
  RETURN_IF_ERROR(CopyInput(ingest));
  const absl::Status status = ingest.Commit(total, expected);
  if (status.ok() || absl::IsAlreadyExists(status)) return absl::OkStatus();
  return base::Annotate(status, "failed commit on ref " + base::Quote(ref) + ": commit failed");
}

absl::Status Delete(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  absl::Status first_error;
  for (const std::string& argument : invocation.arguments()) {
    absl::StatusOr<base::Digest> digest = base::Digest::Parse(argument);
    absl::Status status = digest.status();
    if (status.ok()) {
      api::DeleteContentRequest request;
      request.set_digest(digest->text());
      status = client.Call(&Stub::Delete, request).status();
    }
    if (status.ok()) {
      PrintLine(argument);
    } else if (!absl::IsNotFound(status)) {
      LogError("failed to delete " + base::Quote(argument), status);
      if (first_error.ok()) first_error = status;
    }
  }
  return first_error;
}

absl::Status Label(Invocation& invocation) {
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(invocation.Argument(0)));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  const auto labels = ParseLabels(invocation.ArgumentsFrom(1), "true");
  if (labels.empty()) {
    api::InfoRequest request;
    request.set_digest(digest.text());
    ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::Info, request));
    PrintLine(JoinLabels(response.info().labels(), ""));
    return absl::OkStatus();
  }
  api::UpdateRequest request;
  request.mutable_info()->set_digest(digest.text());
  for (const auto& [key, value] : labels) {
    (*request.mutable_info()->mutable_labels())[key] = value;
    request.mutable_update_mask()->add_paths("labels." + key);
  }
  ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::Update, request));
  PrintLine(JoinLabels(response.info().labels(), ""));
  return absl::OkStatus();
}

absl::Status ListActive(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::ListStatusesRequest request;
  if (!invocation.Argument(0).empty()) request.add_filters("ref~=" + invocation.Argument(0));
  ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::ListStatuses, request));
  Table table(Table::kTabs);
  table.Row({"REF", "SIZE", "AGE"});
  for (const auto& status : response.statuses()) {
    table.Row({status.ref(), DecimalSize(status.offset()),
               HumanDuration(absl::Now() - ToTime(status.started_at()))});
  }
  table.Print();
  return absl::OkStatus();
}

}  // namespace

Command ContentCommand() {
  Command active{.names = "active",
                 .summary = "list ingests that are under way",
                 .arguments = "[flags] [<regexp>]",
                 .action = ListActive};
  active.flags = {
      {FlagKind::kDuration, "timeout,t", "limit for the call", "0s", "CONTAINERD_FETCH_TIMEOUT"},
      {FlagKind::kText, "root", "not used", "/tmp/content"}};
  Command ingest{.names = "ingest",
                 .summary = "take a blob from standard input",
                 .arguments = "[flags] <key>",
                 .action = IngestInput};
  ingest.flags = {{FlagKind::kInteger, "expected-size", "size the blob must have", "0"},
                  {FlagKind::kText, "expected-digest", "digest the blob must have"}};
  Command group{.names = "content", .summary = "manage content"};
  group.commands = {
      active,
      {.names = "delete,del,remove,rm",
       .summary = "delete blobs",
       .arguments = "[<digest>, ...]",
       .action = Delete},
      ContentEditCommand(),
      MissingCommand("fetch", "fetch an image's content"),
      MissingCommand("fetch-object", "fetch an object of a registry"),
      MissingCommand("fetch-blob", "fetch blobs of a registry"),
      {.names = "get", .summary = "print a blob", .arguments = "[<digest>, ...]", .action = Get},
      ingest,
      {.names = "list,ls",
       .summary = "list blobs",
       .arguments = "[flags]",
       .flags = {QuietFlag("the digests")},
       .action = List},
      MissingCommand("push-object", "push an object to a registry"),
      {.names = "label",
       .summary = "set labels; an empty value removes one",
       .arguments = "<digest> [<label>=<value> ...]",
       .action = Label},
      ContentPruneCommand(),
  };
  return group;
}

}  // namespace ctrd::ctr
