// SPDX-License-Identifier: Apache-2.0
// ctr images pull, push, import, export, tag.
#include <fcntl.h>
#include <unistd.h>

#include "base/files.h"
#include "base/identifiers.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/image_reader.h"
#include "ctr/images.h"
#include "ctr/output.h"
#include "ctr/progress.h"
#include "ctr/transfer.h"
#include "images/spec/platform.h"
#include "images/spec/reference.h"
#include "services/images/v1/images.grpc.pb.h"
#include "types/transfer/imagestore.pb.h"
#include "types/transfer/importexport.pb.h"
#include "types/transfer/registry.pb.h"

namespace ctrd::ctr {
namespace {

namespace types = containerd::types::transfer;
namespace image_api = containerd::services::images::v1;

std::vector<Flag> RegistryFlags() {
  return {{FlagKind::kSwitch, "skip-verify,k", "do not check certificates"},
          {FlagKind::kSwitch, "plain-http", "speak HTTP without TLS"},
          {FlagKind::kText, "user,u", "user[:password] for the registry"},
          {FlagKind::kText, "refresh", "refresh token for the registry"},
          {FlagKind::kText, "hosts-dir", "directory with hosts.toml files, on the daemon's side"},
          {FlagKind::kText, "tlscacert", "certificates to trust"},
          {FlagKind::kText, "tlscert", "certificate of the client"},
          {FlagKind::kText, "tlskey", "key of the client"},
          {FlagKind::kSwitch, "http-dump", "log requests and answers"},
          {FlagKind::kSwitch, "http-trace", "log connections"}};
}

std::vector<Flag> PlatformFlags() {
  return {{FlagKind::kList, "platform", "a platform to take"},
          {FlagKind::kSwitch, "all-platforms", "take all platforms"}};
}

// The daemon does these transfers; what only a client that does them itself can offer is refused.
absl::Status RefuseLocalOnly(const Invocation& invocation,
                             std::initializer_list<const char*> names) {
  if (invocation.Switch("local")) {
    return base::Unknown("\"--local\" is not in this ctr: the daemon does the transfer");
  }
  for (const char* name : names) {
    if (invocation.IsSet(name)) return base::Unknown("\"--{}\" requires \"--local\" flag", name);
  }
  return absl::OkStatus();
}

void SetPlatform(const images::Platform& platform, containerd::types::Platform* message) {
  message->set_os(platform.os);
  message->set_architecture(platform.architecture);
  message->set_variant(platform.variant);
  message->set_os_version(platform.os_version);
  for (const std::string& feature : platform.os_features) message->add_os_features(feature);
}

absl::StatusOr<std::vector<images::Platform>> GivenPlatforms(const Invocation& invocation) {
  if (invocation.Switch("all-platforms") && invocation.IsSet("platform")) {
    return base::Unknown("cannot specify both --platform and --all-platforms");
  }
  std::vector<images::Platform> platforms;
  for (const std::string& text : invocation.List("platform")) {
    ASSIGN_OR_RETURN(images::Platform platform, images::ParsePlatform(text));
    platforms.push_back(images::NormalizePlatform(std::move(platform)));
  }
  return platforms;
}

// The registry's side of a transfer, and the stream on which it asks for credentials.
struct RegistrySide {
  types::OCIRegistry registry;
  std::unique_ptr<TransferStream> auth;
};

absl::StatusOr<RegistrySide> MakeRegistry(const Invocation& invocation, const Client& client,
                                          const std::string& reference) {
  RegistrySide side;
  side.registry.set_reference(reference);
  types::RegistryResolver& resolver = *side.registry.mutable_resolver();
  resolver.set_host_dir(invocation.Text("hosts-dir"));
  if (invocation.Switch("plain-http")) resolver.set_default_scheme("http");
  if (invocation.Switch("http-dump")) resolver.set_http_debug(types::DEBUG);
  if (invocation.Switch("http-trace")) {
    resolver.set_http_debug(invocation.Switch("http-dump") ? types::BOTH : types::TRACE);
  }
  Credentials credentials{.refresh_token = invocation.Text("refresh")};
  if (const std::string user = invocation.Text("user"); !user.empty()) {
    const size_t colon = user.find(':');
    credentials.user = user.substr(0, colon);
    if (colon != std::string::npos) {
      credentials.secret = user.substr(colon + 1);
    } else if (::isatty(STDIN_FILENO) == 1) {
      const char* secret = ::getpass("Password: ");
      credentials.secret = secret == nullptr ? "" : secret;
    }
  }
  ASSIGN_OR_RETURN(side.auth, AnswerAuth(client, std::move(credentials)));
  resolver.set_auth_stream(side.auth->id());
  return side;
}

absl::Status TransferWithDisplay(Client& client, const google::protobuf::Message& source,
                                 const google::protobuf::Message& destination) {
  ProgressDisplay display;
  return Transfer(client, source, destination,
                  [&](const types::Progress& event) { display.Add(event); });
}

void AddUnpacks(const std::vector<images::Platform>& platforms, const std::string& snapshotter,
                types::ImageStore& store) {
  for (const images::Platform& platform : platforms) {
    types::UnpackConfiguration& unpack = *store.add_unpacks();
    SetPlatform(platform, unpack.mutable_platform());
    unpack.set_snapshotter(snapshotter);
  }
}

void SetLabels(const Invocation& invocation, types::ImageStore& store) {
  for (const auto& [key, value] : ParseLabels(invocation.List("label"), "true")) {
    (*store.mutable_labels())[key] = value;
  }
}

absl::Status Pull(Invocation& invocation) {
  const std::string reference = invocation.Argument(0);
  if (reference.empty()) return base::Unknown("please provide an image reference to pull");
  RETURN_IF_ERROR(RefuseLocalOnly(invocation, {"max-concurrent-downloads", "print-chainid",
                                               "skip-verify", "tlscacert", "tlscert", "tlskey"}));
  ASSIGN_OR_RETURN(std::vector<images::Platform> platforms, GivenPlatforms(invocation));
  if (platforms.empty()) platforms = {images::HostPlatform()};
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const RegistrySide source, MakeRegistry(invocation, client, reference));
  types::ImageStore store;
  store.set_name(reference);
  SetLabels(invocation, store);
  if (!invocation.Switch("all-platforms")) {
    for (const images::Platform& platform : platforms) {
      SetPlatform(platform, store.add_platforms());
    }
  }
  store.set_all_metadata(!invocation.Switch("skip-metadata"));
  AddUnpacks(platforms, invocation.Text("snapshotter"), store);
  return TransferWithDisplay(client, source.registry, store);
}

absl::Status Push(Invocation& invocation) {
  const std::string remote = invocation.Argument(0);
  const std::string local = invocation.Argument(1).empty() ? remote : invocation.Argument(1);
  if (remote.empty()) return base::Unknown("please provide a remote image reference to push");
  RETURN_IF_ERROR(RefuseLocalOnly(
      invocation, {"max-concurrent-uploaded-layers", "manifest", "allow-non-distributable-blobs",
                   "skip-verify", "tlscacert", "tlscert", "tlskey", "http-dump", "http-trace"}));
  ASSIGN_OR_RETURN(const auto platforms, GivenPlatforms(invocation));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const RegistrySide destination, MakeRegistry(invocation, client, remote));
  types::ImageStore store;
  store.set_name(local);
  for (const images::Platform& platform : platforms) SetPlatform(platform, store.add_platforms());
  return TransferWithDisplay(client, store, destination.registry);
}

types::ImageReference ImportedNames(const Invocation& invocation) {
  types::ImageReference names;
  std::string prefix = invocation.Text("base-name");
  names.set_allow_overwrite(prefix.empty());
  if (prefix.empty()) {
    prefix = "import-" + absl::FormatTime("%Y-%m-%d", absl::Now(), absl::LocalTimeZone());
  }
  names.set_name(prefix);
  names.set_is_prefix(true);
  names.set_add_digest(invocation.Switch("digests"));
  names.set_skip_named_digest(invocation.Switch("skip-digest-for-named"));
  return names;
}

absl::StatusOr<base::UniqueFd> OpenArchive(const std::string& path, int flags) {
  base::UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  if (file.valid()) return file;
  if (errno == ENOENT) return base::Unknown("open {}: no such file or directory", path);
  return base::Unknown("open {}: {}", path, std::strerror(errno));
}

absl::Status Import(Invocation& invocation) {
  const std::string path = invocation.Argument(0);
  if (path.empty()) return base::Unknown("please provide an archive to import");
  RETURN_IF_ERROR(RefuseLocalOnly(invocation, {"discard-unpacked-layers"}));
  ASSIGN_OR_RETURN(std::vector<images::Platform> platforms, GivenPlatforms(invocation));
  base::UniqueFd file;
  if (path != "-") {
    ASSIGN_OR_RETURN(file, OpenArchive(path, O_RDONLY));
  }
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  types::ImageStore store;
  store.set_name(invocation.Text("index-name"));
  SetLabels(invocation, store);
  *store.add_extra_references() = ImportedNames(invocation);
  if (platforms.empty()) platforms = {images::HostPlatform()};
  if (!invocation.Switch("all-platforms")) {
    for (const images::Platform& platform : platforms) {
      SetPlatform(platform, store.add_platforms());
    }
  }
  if (!invocation.Switch("no-unpack")) {
    AddUnpacks(platforms, invocation.Text("snapshotter"), store);
  }
  ASSIGN_OR_RETURN(const auto stream, SendFile(client, file.valid() ? file.get() : STDIN_FILENO));
  types::ImageImportStream source;
  source.set_stream(stream->id());
  source.set_force_compress(invocation.Switch("compress-blobs"));
  return TransferWithDisplay(client, source, store);
}

absl::Status Export(Invocation& invocation) {
  const std::string path = invocation.Argument(0);
  const std::vector<std::string> names = invocation.ArgumentsFrom(1);
  if (path.empty() || names.empty()) {
    return base::Unknown("please provide both an output filename and an image reference to export");
  }
  RETURN_IF_ERROR(RefuseLocalOnly(invocation, {}));
  ASSIGN_OR_RETURN(const auto platforms, GivenPlatforms(invocation));
  base::UniqueFd file;
  if (path != "-") {
    ASSIGN_OR_RETURN(file, OpenArchive(path, O_WRONLY | O_CREAT | O_TRUNC));
  }
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  types::ImageStore store;
  store.set_name(names[0]);
  for (size_t i = 1; i < names.size(); ++i) store.add_extra_references()->set_name(names[i]);
  ASSIGN_OR_RETURN(const auto stream,
                   ReceiveFile(client, file.valid() ? file.get() : STDOUT_FILENO));
  types::ImageExportStream destination;
  destination.set_stream(stream->id());
  destination.set_all_platforms(invocation.Switch("all-platforms"));
  destination.set_skip_compatibility_manifest(invocation.Switch("skip-manifest-json"));
  destination.set_skip_non_distributable(invocation.Switch("skip-non-distributable"));
  for (const images::Platform& platform : platforms) {
    SetPlatform(platform, destination.add_platforms());
  }
  // Its events name no objects: nothing would be shown.
  RETURN_IF_ERROR(Transfer(client, store, destination, nullptr));
  return stream->Join();
}

absl::Status CreateImage(const Client& client, const image_api::Image& image, bool force) {
  image_api::CreateImageRequest create;
  *create.mutable_image() = image;
  const absl::Status status = client.Call(&image_api::Images::Stub::Create, create).status();
  if (!absl::IsAlreadyExists(status) || !force) return status;
  image_api::DeleteImageRequest remove;
  remove.set_name(image.name());
  RETURN_IF_ERROR(client.Call(&image_api::Images::Stub::Delete, remove).status());
  return client.Call(&image_api::Images::Stub::Create, create).status();
}

// As clients do that know no Transfer service.
absl::Status TagLocally(Client& client, const std::string& source, const std::string& target,
                        bool force) {
  ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Create(client));
  ASSIGN_OR_RETURN(image_api::Image image, GetImage(client, source));
  image.set_name(target);
  return CreateImage(client, image, force);
}

absl::Status Tag(Invocation& invocation) {
  const std::string source = invocation.Argument(0);
  const std::vector<std::string> targets = invocation.ArgumentsFrom(1);
  if (source.empty()) return base::Unknown("please provide an image reference to tag from");
  if (targets.empty()) return base::Unknown("please provide an image reference to tag to");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  bool local = invocation.Switch("local");
  for (const std::string& target : targets) {
    if (!invocation.Switch("skip-reference-check")) {
      const auto name = images::NormalizeName(target);
      if (!name.ok()) {
        return base::Unknown("error parsing reference: {} is not a valid repository/tag {}",
                             base::Quote(target), base::MessageOf(name.status()));
      }
    }
    absl::Status status;
    if (!local) {
      types::ImageStore from;
      from.set_name(source);
      types::ImageStore to;
      to.set_name(target);
      status = Transfer(client, from, to, nullptr);
      local = absl::IsUnimplemented(status);  // A daemon before 1.7.
    }
    if (local) status = TagLocally(client, source, target, invocation.Switch("force"));
    RETURN_IF_ERROR(status);
    PrintLine(target);
  }
  return absl::OkStatus();
}

}  // namespace

Command ImagesPullCommand() {
  Command command{.names = "pull",
                  .summary = "fetch an image and make its snapshots",
                  .arguments = "[flags] <ref>",
                  .action = Pull};
  command.flags =
      Join({RegistryFlags(),
            {SnapshotterFlag(), LabelFlag("labels of the image")},
            PlatformFlags(),
            {{FlagKind::kSwitch, "skip-metadata", "leave out manifests of other platforms"},
             {FlagKind::kSwitch, "all-metadata", "take manifests of other platforms", "", "", false,
              true},
             {FlagKind::kSwitch, "print-chainid", "needs --local"},
             {FlagKind::kInteger, "max-concurrent-downloads", "needs --local", "0"},
             {FlagKind::kSwitch, "local", "not in this ctr"},
             {FlagKind::kSwitch, "sync-fs", "write everything to disk"}}});
  return command;
}

Command ImagesPushCommand() {
  Command command{.names = "push",
                  .summary = "send an image to a registry",
                  .arguments = "[flags] <remote> [<local>]",
                  .action = Push};
  command.flags =
      Join({RegistryFlags(),
            PlatformFlags(),
            {{FlagKind::kText, "manifest", "needs --local"},
             {FlagKind::kText, "manifest-type", "media type for --manifest",
              "application/vnd.oci.image.manifest.v1+json"},
             {FlagKind::kInteger, "max-concurrent-uploaded-layers", "needs --local", "0"},
             {FlagKind::kSwitch, "local", "not in this ctr"},
             {FlagKind::kSwitch, "allow-non-distributable-blobs", "needs --local"}}});
  return command;
}

Command ImagesImportCommand() {
  Command command{.names = "import",
                  .summary = "take images from an archive",
                  .arguments = "[flags] <in>",
                  .action = Import};
  command.flags = Join(
      {{{FlagKind::kText, "base-name", "name for images that have only a tag"},
        {FlagKind::kSwitch, "digests", "also name images by their digests"},
        {FlagKind::kSwitch, "skip-digest-for-named", "with --digests: only those without a name"},
        {FlagKind::kText, "index-name", "keep the archive's index under this name"},
        {FlagKind::kSwitch, "no-unpack", "do not make snapshots"},
        {FlagKind::kSwitch, "compress-blobs", "compress layers of Docker archives"},
        {FlagKind::kSwitch, "discard-unpacked-layers", "needs --local"},
        {FlagKind::kSwitch, "local", "not in this ctr"},
        {FlagKind::kSwitch, "sync-fs", "write everything to disk"},
        LabelFlag("labels of the images"),
        SnapshotterFlag()},
       PlatformFlags()});
  return command;
}

Command ImagesExportCommand() {
  Command command{.names = "export",
                  .summary = "write images to an archive",
                  .arguments = "[flags] <out> <image> ...",
                  .action = Export};
  command.flags =
      Join({{{FlagKind::kSwitch, "skip-manifest-json", "leave out Docker's manifest.json"},
             {FlagKind::kSwitch, "skip-non-distributable", "leave out foreign layers"},
             {FlagKind::kSwitch, "local", "not in this ctr"}},
            PlatformFlags()});
  return command;
}

Command ImagesTagCommand() {
  Command command{.names = "tag",
                  .summary = "give an image another name",
                  .arguments = "[flags] <source_ref> <target_ref> [<target_ref>, ...]",
                  .action = Tag};
  command.flags = {{FlagKind::kSwitch, "force", "with --local: replace what has the name"},
                   {FlagKind::kSwitch, "local", "without the Transfer service"},
                   {FlagKind::kSwitch, "skip-reference-check", "take any text for a name"}};
  return command;
}

}  // namespace ctrd::ctr
