// SPDX-License-Identifier: Apache-2.0
// Checkpoints as images: an index whose manifests are the parts of a container. Source document:
// docs/formats/checkpoints.md.
#pragma once

#include "ctr/cli/command.h"

namespace ctrd::ctr {

inline constexpr char kCheckpointDumpType[] =
    "application/vnd.containerd.container.criu.checkpoint.criu.tar";
inline constexpr char kCheckpointSpecType[] =
    "application/vnd.containerd.container.checkpoint.config.v1+proto";
inline constexpr char kCheckpointOptionsType[] =
    "application/vnd.containerd.container.checkpoint.options.v1+proto";
inline constexpr char kCheckpointRuntimeOptionsType[] =
    "application/vnd.containerd.container.checkpoint.runtime.options+proto";
inline constexpr char kCheckpointImageAnnotation[] = "org.opencontainers.image.ref.name";
inline constexpr char kCheckpointRuntimeAnnotation[] = "io.containerd.checkpoint.runtime";
inline constexpr char kCheckpointSnapshotterAnnotation[] = "io.containerd.checkpoint.snapshotter";

Command TaskCheckpointCommand();
Command ContainerCheckpointCommand();
Command ContainerRestoreCommand();

}  // namespace ctrd::ctr
