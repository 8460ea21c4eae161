# SPDX-License-Identifier: Apache-2.0
# The short way to everything; CMake does the work (see CMakePresets.json).
#
#   make build   build/release/bin/{containerd,ctr,containerd-shim-runc-v2}
#   make run     the main job, shown: a daemon, an image, a container (needs root)
#   make test    every test; those of the live daemon need root
#   make bench   side by side with Debian's containerd (needs root)
#   make fuzz    the fuzzers, FUZZ_SECONDS each (600), with a new seed
#   make soak    20,000 cycles with random kills, 1,000 containers and a restart (needs root)
#   make sanitize  more of it under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer (needs root)
#   make package a .deb in build/release
#   make clean   removes build/
#
# PRESET=asan (or dev, tsan) builds and tests that preset; NO_INSTALL=1 leaves packages alone.

PRESET ?= release
BUILD := build/$(PRESET)
JOBS ?= $(shell nproc)
INSTALL := packaging/install-dependencies.sh
ifdef NO_INSTALL
INSTALL := true
endif
export CTEST_PARALLEL_LEVEL ?= $(JOBS)

.PHONY: build all run test bench fuzz sanitize soak package clean
.NOTPARALLEL:

build: $(BUILD)/build.ninja
	cmake --build --preset $(PRESET) --parallel $(JOBS) --target containerd ctr containerd-shim-runc-v2

all: $(BUILD)/build.ninja
	cmake --build --preset $(PRESET) --parallel $(JOBS)

$(BUILD)/build.ninja: CMakeLists.txt CMakePresets.json packaging/dependencies.txt
	$(INSTALL) build
	cmake --preset $(PRESET)

run: build
	$(INSTALL) run
	packaging/demo/run.sh $(BUILD)/bin

# The daemon and the shim once more, with sanitizers; what is generated comes from the release by way of ccache.
SANITIZERS := asan tsan
sanitized_builds = $(foreach preset,$(SANITIZERS),\
  cmake --preset $(preset) > /dev/null && cmake --build --preset $(preset) --parallel $(JOBS) --target $(1) &&) true

test: all
	$(INSTALL) run test
	packaging/fetch-vm-kernel.sh build/vm-kernel || echo "the tests in a virtual machine will be skipped"
	$(if $(filter $(PRESET),$(SANITIZERS)),,$(call sanitized_builds,sanitized))
	cd $(BUILD) && ctest --output-on-failure --no-label-summary

bench: build
	cmake --build --preset $(PRESET) --parallel $(JOBS) --target metadata_load task_load
	$(INSTALL) run test
	python3 tests/bench/bench.py --bin-dir $(BUILD)/bin

FUZZ_SECONDS ?= 600
FUZZ_SEED ?= $(shell date +%s)
fuzz: $(BUILD)/build.ninja
	cmake --build --preset $(PRESET) --parallel $(JOBS) --target fuzzers
	cd $(BUILD)/fuzz && ls | grep '_fuzz$$' | \
	  xargs -P $(JOBS) -I FUZZER ./FUZZER --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

sanitize: build
	cmake --build --preset $(PRESET) --parallel $(JOBS) --target task_load call call_protoset
	$(INSTALL) run test
	$(call sanitized_builds,sanitized_all)
	for preset in $(SANITIZERS); do \
	  python3 tests/sanitized/sanitized.py --all --build-dir build/$$preset --clients $(BUILD)/bin || failed=1; \
	done; test -z "$$failed"

soak: build
	cmake --build --preset $(PRESET) --parallel $(JOBS) --target task_load
	$(INSTALL) run test
	python3 tests/fault/churn.py --bin-dir $(BUILD)/bin --cycles 20000 --limit 7200
	python3 tests/fault/scale.py --bin-dir $(BUILD)/bin --containers 1000 --limit 3600

package: build
	$(INSTALL) package
	cd $(BUILD) && cpack -G DEB

clean:
	rm -rf build
