# SPDX-License-Identifier: Apache-2.0
# The front door. `make run` and `make test` do everything on a fresh machine; `make help` lists the rest.
# A new .c, .bpf.c or test file is picked up by existing.
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
# `make V=1` shows the commands.
Q := $(if $(V),,@)
say = @printf '  %-6s %s\n' $(1) $(2)
if_changed = { cat > $@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@; }
quoted = $(subst ','\'',$(1))
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

B := build
VERSION := 0.1.0
PREFIX := /usr/local
MANDIR = $(PREFIX)/share/man
CC := gcc
CLANG ?= $(firstword $(shell command -v clang-19 clang-18 clang-17 clang 2>/dev/null) clang)
# Ubuntu's /usr/sbin/bpftool wants the kernel it was built with; the programs behind it don't.
BPFTOOL ?= $(firstword $(lastword $(wildcard /usr/lib/linux-tools/*/bpftool)) \
	$(shell command -v bpftool /usr/sbin/bpftool 2>/dev/null) bpftool)
BTF ?= /sys/kernel/btf/vmlinux
ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))

LIBS := libbpf jansson libmnl libsystemd nettle
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wformat=2 \
	-Wno-unused-parameter -Werror
CFLAGS = -std=gnu17 -O2 -g $(WARN) -fno-strict-aliasing -fstack-protector-strong -D_GNU_SOURCE \
	-DNSLENS_VERSION='"$(VERSION)"' -include src/base/banned.h -Isrc -I$(B)/bpf
LDLIBS = $(shell pkg-config --libs $(LIBS)) -lelf -lz
FUZZ_CFLAGS = -std=gnu17 -g -O1 -w -D_GNU_SOURCE -DNSLENS_VERSION='"$(VERSION)"' -include src/base/banned.h \
	-Isrc -I$(B)/bpf -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
BPF_CFLAGS = -std=gnu17 -O2 -g -Wall -Werror -Wno-missing-declarations -target bpf -mcpu=v3 \
	-D__TARGET_ARCH_$(ARCH) -Isrc -I$(B)/bpf
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1

# BPF: the probes are linked into one object (one load, one ring); discover has its own (it attaches nothing), and so
# has the device probe (its maps and links stay when the agent ends).
# The shared maps come first: libbpf's linker loses the offset of a map that is declared before it is defined.
MAPS_BPF := src/probe/lib/maps.bpf.c
DEVICE_BPF := $(wildcard src/probe/device/*.bpf.c)
PROBE_BPF := $(MAPS_BPF) $(filter-out $(MAPS_BPF) $(DEVICE_BPF),$(sort $(wildcard src/probe/*/*.bpf.c)))
DISCOVER_BPF := $(wildcard src/discover/*.bpf.c)
PROBE_BPF_O := $(PROBE_BPF:src/%.bpf.c=$(B)/bpf/%.bpf.o)
DISCOVER_BPF_O := $(DISCOVER_BPF:src/%.bpf.c=$(B)/bpf/%.bpf.o)
DEVICE_BPF_O := $(DEVICE_BPF:src/%.bpf.c=$(B)/bpf/%.bpf.o)
SKELETONS := $(B)/bpf/probes.skel.h $(B)/bpf/discover.skel.h $(B)/bpf/devices.skel.h

SRC := $(filter-out %.bpf.c,$(shell find src -name '*.c'))
LIB_SRC := $(filter-out src/cmd/main.c,$(SRC))
LIB_O := $(LIB_SRC:%.c=$(B)/obj/%.o)
SAN_O := $(LIB_SRC:%.c=$(B)/san/%.o)
UNIT := $(patsubst test/unit/%.c,$(B)/test/unit/%,$(wildcard test/unit/test_*.c))
PROG := $(patsubst test/prog/%.c,$(B)/test/prog/%,$(wildcard test/prog/test_*.c))
TEST_SKELETONS := $(patsubst test/prog/%.bpf.c,$(B)/bpf/test/%.skel.h,$(wildcard test/prog/*.bpf.c))
TEST_TOOLS := $(patsubst test/lib/%.c,$(B)/test/lib/%,$(wildcard test/lib/*.c))
FUZZ := $(patsubst test/fuzz/%.c,$(B)/test/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
BENCH_TOOLS := $(patsubst test/bench/%.c,$(B)/test/bench/%,$(wildcard test/bench/*.c))

## build: the program, build/nslens (installs what is missing)
build: deps-build
	@$(MAKE) --no-print-directory $(B)/nslens

## run: build, and run the agent
run: build
	$(B)/nslens run $(RUN_ARGS)

## test: the checks, unit, fuzz, prog, netns; some of netns under Debian's kernels 6.12 and 6.1 in QEMU (vm)
test: deps-test deps-vm
	@$(MAKE) --no-print-directory all-tests
	@test/run.sh

## unit, prog, netns, fuzz, check: one rung alone
unit prog netns fuzz check: deps-test
	@$(MAKE) --no-print-directory all-tests
	@test/run.sh $@

## vm-test: all of prog and netns under these kernels
vm-test: deps-test deps-vm
	@$(MAKE) --no-print-directory all-tests
	@VM_ALL=1 TEST_SECONDS=3000 test/run.sh vm

## bench: what nslens costs, beside other tools (BENCH_ARGS)
bench: deps-bench build
	@$(MAKE) --no-print-directory $(BENCH_TOOLS)
	B=$(B) test/bench/bench $(BENCH_ARGS)

## man: the manual page, build/nslens.8
man: deps-man
	@$(MAKE) --no-print-directory $(B)/nslens.8

## install, uninstall: to and from PREFIX (/usr/local), below DESTDIR if that is set
install: build man
	install -D -m 755 $(B)/nslens $(DESTDIR)$(PREFIX)/sbin/nslens
	install -D -m 644 $(B)/nslens.8 $(DESTDIR)$(MANDIR)/man8/nslens.8

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/nslens $(DESTDIR)$(MANDIR)/man8/nslens.8

## format: rewrite the sources with clang-format
format:
	clang-format -i $(shell git ls-files 'src/*.[ch]' 'test/*.[ch]')

## clean: remove build/
clean:
	rm -rf $(B)

help:
	@sed -n 's/^## /  make /p' Makefile

deps-%:
	@scripts/deps.sh $*

all-tests: $(B)/nslens $(UNIT) $(PROG) $(TEST_TOOLS) $(BENCH_TOOLS) $(FUZZ)

.PHONY: build run test unit prog netns fuzz check vm-test bench man install uninstall format clean help \
	all-tests FORCE
.SECONDARY:

# --- BPF ---------------------------------------------------------------------------------------------------------
# Types of the running kernel: made again when another one is booted.
$(B)/bpf/kernel-%:
	@mkdir -p $(@D)
	@rm -f $(B)/bpf/kernel-*
	@touch $@

$(B)/bpf/vmlinux.h: $(B)/bpf/kernel-$(shell uname -r)
	$(call say,BPF,$@)
	$(Q)$(BPFTOOL) btf dump file $(BTF) format c > $@

$(B)/bpf/%.bpf.o: src/%.bpf.c $(B)/bpf/vmlinux.h $(B)/.flags
	@mkdir -p $(@D)
	$(call say,CLANG,$@)
	$(Q)$(CLANG) $(BPF_CFLAGS) -DBPF_OBJECT=$(basename $(basename $(@F))) -MMD -MP -c $< -o $@

$(B)/bpf/probes.bpf.o: $(PROBE_BPF_O) $(B)/.sources
	$(call say,BPF,$@)
	$(Q)$(BPFTOOL) gen object $@ $(PROBE_BPF_O)

$(B)/bpf/discover.bpf.o: $(DISCOVER_BPF_O) $(B)/.sources
	$(call say,BPF,$@)
	$(Q)$(BPFTOOL) gen object $@ $(DISCOVER_BPF_O)

$(B)/bpf/devices.bpf.o: $(DEVICE_BPF_O) $(B)/.sources
	$(call say,BPF,$@)
	$(Q)$(BPFTOOL) gen object $@ $(DEVICE_BPF_O)

# A BPF program of a test is linked with what it may call: its skeleton is $(B)/bpf/test/NAME.skel.h.
$(B)/bpf/test/%.bpf.o: test/prog/%.bpf.c $(B)/bpf/vmlinux.h
	@mkdir -p $(@D)
	$(call say,CLANG,$@)
	$(Q)$(CLANG) $(BPF_CFLAGS) -DBPF_OBJECT=$(basename $(basename $(@F))) -MMD -MP -c $< -o $@

$(B)/bpf/test/%.skel.h: $(B)/bpf/test/%.bpf.o $(B)/bpf/probe/lib/maps.bpf.o $(B)/bpf/probe/process/process.bpf.o
	$(call say,BPF,$@)
	$(Q)$(BPFTOOL) gen object $(@:.skel.h=.linked.o) $(filter-out $<,$^) $<
	$(Q)$(BPFTOOL) gen skeleton $(@:.skel.h=.linked.o) name $*_bpf > $@

$(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,BPF,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

# --- user space ----------------------------------------------------------------------------------------------------
$(B)/obj/%.o: %.c $(B)/.flags | $(SKELETONS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/nslens: $(B)/obj/src/cmd/main.o $(LIB_O) $(B)/.sources
	$(call say,CC,$@)
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(LDLIBS)

$(B)/%.8: man/%.8.scd
	@mkdir -p $(@D)
	$(call say,MAN,$@)
	$(Q)scdoc < $< > $@

# --- tests ---------------------------------------------------------------------------------------------------------
$(B)/san/%.o: %.c $(B)/.flags | $(SKELETONS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CFLAGS) $(SAN) -MMD -MP -c $< -o $@

$(B)/san/libnslens.a: $(SAN_O) $(B)/.sources
	@rm -f $@
	$(Q)ar rcs $@ $(filter %.o,$^)

$(B)/obj/libnslens.a: $(LIB_O) $(B)/.sources
	@rm -f $@
	$(Q)ar rcs $@ $(filter %.o,$^)

$(B)/test/unit/%: test/unit/%.c $(B)/san/libnslens.a
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CFLAGS) $(SAN) -Itest -MMD -MP -MF $@.d -MT $@ -o $@ $< $(B)/san/libnslens.a -lcmocka $(LDLIBS)

$(B)/test/prog/%: test/prog/%.c $(B)/obj/libnslens.a $(TEST_SKELETONS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CFLAGS) -Itest -I$(B)/bpf/test -MMD -MP -MF $@.d -MT $@ -o $@ $< $(B)/obj/libnslens.a -lcmocka $(LDLIBS)

$(B)/test/lib/%: test/lib/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu17 -O2 -g $(WARN) -D_GNU_SOURCE -o $@ $< -pthread

$(B)/test/bench/%: test/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu17 -O2 -g $(WARN) -D_GNU_SOURCE -o $@ $< -pthread -lm

# A fuzzer names the sources it needs in lines "// FUZZ-SOURCES: src/a.c src/b.c", libraries in "// FUZZ-LIBS: -lx".
fuzz_objects = $(patsubst %.c,$(B)/fuzz/%.o,$(shell sed -n 's,^// FUZZ-SOURCES: ,,p' test/fuzz/$(1).c))
fuzz_libs = $(shell sed -n 's,^// FUZZ-LIBS: ,,p' test/fuzz/$(1).c)

$(B)/fuzz/%.o: %.c $(B)/.flags | $(SKELETONS)
	@mkdir -p $(@D)
	$(call say,CLANG,$@)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

.SECONDEXPANSION:
$(B)/test/fuzz/%: $(B)/fuzz/test/fuzz/%.o $$(call fuzz_objects,$$*)
	@mkdir -p $(@D)
	$(call say,CLANG,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(call fuzz_libs,$*)

# Change only when what they hold changes: everything is built again with other flags, linked again
# when a source comes or goes.
$(B)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(call quoted,$(CC) $(CFLAGS) $(SAN) $(CLANG) $(BPF_CFLAGS) $(FUZZ_CFLAGS))' | $(if_changed)

$(B)/.sources: FORCE
	@mkdir -p $(@D)
	@echo '$(sort $(SRC) $(PROBE_BPF) $(DEVICE_BPF) $(DISCOVER_BPF))' | $(if_changed)

FORCE:

-include $(shell find $(B) -name '*.d' 2>/dev/null)
