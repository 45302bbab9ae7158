# SPDX-License-Identifier: GPL-2.0-or-later
# Sallyport. `make help` lists the targets; V=1 shows the commands; O=DIR builds elsewhere.

VERSION   := 0.1.0
O         ?= build
PREFIX    ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR   ?= $(PREFIX)/lib/systemd/system
DESTDIR   ?=

CC        ?= gcc
CLANG     ?= clang
BPFTOOL   ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

# --- what is built from what -------------------------------------------------------------------

LIB_SRC    := $(wildcard lib/*.c)
LOADER_SRC := $(filter-out loader/main.c,$(wildcard loader/*.c loader/*/*.c))
# What the command shares with the daemon: the store itself, and the configuration that names it.
STORE_SRC  := $(wildcard loader/store/*.c loader/config*.c) loader/log.c loader/request.c \
	loader/machine/ladder.c
CTL_SRC    := $(wildcard ctl/*.c)
HOOKS      := sallyport-auth sallyport-connect sallyport-disconnect sallyport-learn-address
HOOK_COMMON := $(filter-out $(HOOKS:%=hooks/%.c) hooks/plugin.c,$(wildcard hooks/*.c))
PLUGIN_SRC := $(if $(wildcard hooks/plugin.c),hooks/plugin.c $(HOOK_COMMON) $(LIB_SRC))
BPF_SRC    := $(wildcard bpf/*.bpf.c)
TESTBPF_SRC := $(wildcard selftests/prog/*.bpf.c bench/*.bpf.c)
UNIT_SRC   := $(wildcard selftests/unit/test_*.c selftests/virt/*.c)
PROG_SRC   := $(wildcard selftests/prog/test_*.c)
HARNESS_SRC := $(wildcard selftests/harness/*.c)
FUZZ_SRC   := $(wildcard selftests/fuzz/fuzz_*.c)
BENCH_SRC  := $(wildcard bench/bench_*.c)
E2E_SRC    := $(wildcard selftests/e2e/*.c)

SKEL       := $(patsubst %.bpf.c,$(O)/skel/%.skel.h,$(notdir $(BPF_SRC) $(TESTBPF_SRC)))
BPF_OBJ    := $(patsubst %.bpf.c,$(O)/bpf/%.bpf.o,$(notdir $(BPF_SRC) $(TESTBPF_SRC)))

BIN  := $(if $(wildcard loader/main.c),$(O)/sallyportd) $(if $(CTL_SRC),$(O)/sallyport)
HOOK_BIN := $(foreach h,$(HOOKS),$(if $(wildcard hooks/$(h).c),$(O)/hooks/$(h)))
PLUGIN   := $(if $(PLUGIN_SRC),$(O)/hooks/openvpn-plugin-sallyport.so)
PROBE    := $(if $(wildcard loader/virt/probe/probe.S),$(O)/probe-kernel)
UNIT_BIN := $(UNIT_SRC:%.c=$(O)/%)
PROG_BIN := $(PROG_SRC:%.c=$(O)/%)
FUZZ_BIN := $(FUZZ_SRC:%.c=$(O)/%)
BENCH_BIN := $(BENCH_SRC:%.c=$(O)/%)
E2E_BIN  := $(E2E_SRC:%.c=$(O)/%)

# --- flags ---------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 -Wno-unused-parameter \
	-Wimplicit-fallthrough
CPPFLAGS := -D_GNU_SOURCE -DSP_VERSION='"$(VERSION)"' -Iinclude -I. -Iloader -I$(O)/skel
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
ifeq ($(SAN),1)
OPT      := -O1 -g -fPIE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS  += -pie -fsanitize=address,undefined
CPPFLAGS += -DSP_DEBUG
else
OPT      := -O2 -g -fPIE $(HARDEN)
LDFLAGS  += -pie -Wl,-z,relro,-z,now
STATIC_HOOKS := 1
endif
STD := -std=gnu11 $(WARN)

LIB_LIBS    := -ljansson
LOADER_PKG  := libbpf libsystemd sqlite3 mysqlclient libcrypt libnl-3.0 libnl-route-3.0 jansson inih \
	libvirt libxml-2.0 libmicrohttpd
STORE_PKG   := sqlite3 mysqlclient inih libsystemd
STORE_LIBS   = $(shell $(PKG_CONFIG) --libs $(STORE_PKG)) -lpthread
LOADER_LIBS = $(shell $(PKG_CONFIG) --libs $(LOADER_PKG)) -lelf -lz -lpthread
CPPFLAGS    += $(shell $(PKG_CONFIG) --cflags $(LOADER_PKG) 2>/dev/null)

BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter \
	-Iinclude -I. -Ibpf

obj = $(patsubst %.c,$(O)/obj/%.o,$(1))

.PHONY: all help check test lint demo bench fuzz fmt install uninstall clean deps compile vmtest \
	print-cppflags
all: compile ## build everything that is installed (V=1 shows the commands)

compile: $(BIN) $(HOOK_BIN) $(PLUGIN) $(PROBE) $(BPF_OBJ)

# --- BPF -----------------------------------------------------------------------------------------

define bpf_rule
$(O)/bpf/$(notdir $(1:.bpf.c=.bpf.o)): $(1) vmlinux.h
	$(say) BPF $$<
	$(Q)mkdir -p $$(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $$< -o $$@
endef
$(foreach s,$(BPF_SRC) $(TESTBPF_SRC),$(eval $(call bpf_rule,$(s))))

$(O)/skel/%.skel.h: $(O)/bpf/%.bpf.o
	$(say) SKEL $(@F)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

# --- C -------------------------------------------------------------------------------------------

$(O)/obj/%.o: %.c | $(SKEL)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(STD) $(OPT) $(CFLAGS) -MMD -MP -c $< -o $@

$(O)/pic/%.o: %.c
	$(say) CC.pic $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(STD) -O2 -g $(HARDEN) $(CFLAGS) -fPIC -fvisibility=hidden -MMD -MP \
		-c $< -o $@

$(O)/libsallyport.a: $(call obj,$(LIB_SRC))
$(O)/libloader.a: $(call obj,$(LOADER_SRC))
$(O)/libstore.a: $(call obj,$(STORE_SRC))
$(O)/libhook.a: $(call obj,$(HOOK_COMMON))
$(O)/libctl.a: $(call obj,$(filter-out ctl/main.c,$(CTL_SRC)))
$(O)/libharness.a: $(call obj,$(HARNESS_SRC))
$(O)/%.a:
	$(say) AR $(@F)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/sallyportd: $(call obj,loader/main.c) $(O)/libloader.a $(O)/libsallyport.a
	$(say) LD $(@F)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LOADER_LIBS) $(LIB_LIBS)

$(O)/sallyport: $(call obj,ctl/main.c) $(O)/libctl.a $(O)/libstore.a $(O)/libsallyport.a
	$(say) LD $(@F)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(STORE_LIBS) $(LIB_LIBS) $(shell $(PKG_CONFIG) --libs libbpf) -lelf -lz

$(HOOK_BIN): $(O)/hooks/%: $(O)/obj/hooks/%.o $(O)/libhook.a $(O)/libsallyport.a
	$(say) LD $(@F)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(if $(STATIC_HOOKS),-static $(filter-out -pie,$(LDFLAGS)),$(LDFLAGS)) -o $@ $^ $(LIB_LIBS)

# Inside OpenVPN there is no room for a sanitizer's runtime: the plugin is built without. nodelete:
# OpenVPN unloads it on SIGHUP, and a thread that still waits must not lose the code it runs.
$(PLUGIN): $(patsubst %.c,$(O)/pic/%.o,$(PLUGIN_SRC))
	$(say) LD.so $(@F)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -shared -Wl,-z,relro,-z,now,-z,defs,-z,nodelete -o $@ $^ $(LIB_LIBS) -lpthread

# A kernel of a few hundred bytes, for i386 as PVH wants it; the host's libc has no part in it.
$(O)/obj/loader/virt/probe/probe.o: loader/virt/probe/probe.S
	$(say) AS $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 -MMD -MP -c $< -o $@
$(PROBE): $(O)/obj/loader/virt/probe/probe.o
	$(say) LD $(@F)
	$(Q)ld -m elf_i386 -s -z noexecstack -z max-page-size=4096 --build-id=none \
		--section-start=.note.Xen=0x100000 -Ttext=0x101000 -e start -o $@ $<
	$(Q)chmod 644 $@

$(UNIT_BIN) $(PROG_BIN): $(O)/selftests/%: $(O)/obj/selftests/%.o $(O)/libharness.a $(O)/libctl.a \
		$(O)/libhook.a $(O)/libloader.a $(O)/libsallyport.a
	$(say) LD $(@F)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
		-lcmocka $(LOADER_LIBS) $(LIB_LIBS)

$(E2E_BIN): $(O)/selftests/e2e/%: $(O)/obj/selftests/e2e/%.o $(O)/libstore.a $(O)/libsallyport.a
	$(say) LD $(@F)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(STORE_LIBS) $(LIB_LIBS)

$(BENCH_BIN): $(O)/bench/%: $(O)/obj/bench/%.o $(O)/libharness.a $(O)/libhook.a $(O)/libloader.a $(O)/libsallyport.a
	$(say) LD $(@F)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
		$(LOADER_LIBS) $(LIB_LIBS)

# Fuzzers: everything they reach is built by clang with coverage and sanitizers.
FUZZ_FLAGS := -O1 -g -std=gnu11 -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer
fuzzobj = $(patsubst %.c,$(O)/fuzzobj/%.o,$(1))
$(O)/fuzzobj/%.o: %.c | $(SKEL)
	$(say) FUZZ.cc $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) -DSP_DEBUG $(FUZZ_FLAGS) -MMD -MP -c $< -o $@
$(O)/libfuzzed.a: $(call fuzzobj,$(LIB_SRC) $(HOOK_COMMON) $(LOADER_SRC))
$(FUZZ_BIN): $(O)/selftests/fuzz/%: $(O)/fuzzobj/selftests/fuzz/%.o $(O)/libfuzzed.a
	$(say) LD $(@F)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LOADER_LIBS) $(LIB_LIBS)

-include $(shell find $(O) \( -path $(O)/vm -o -path $(O)/kernel -o -path $(O)/guest \) -prune -o -type f -name '*.d' -print 2>/dev/null)

.PHONY: unit-bins prog-bins fuzz-bins bench-bins
unit-bins: $(UNIT_BIN)
prog-bins: $(PROG_BIN) $(E2E_BIN)
fuzz-bins: $(FUZZ_BIN)
bench-bins: $(BENCH_BIN)

# --- what a person calls -----------------------------------------------------------------------

need_root = @test "$$(id -u)" = 0 || { echo "make $@: root is needed; run: sudo make $@" >&2; exit 1; }
built = $(Q)$(MAKE) --no-print-directory -j2 O=$(O) compile
guest = $(Q)scripts/guest $(O)
san   = $(Q)$(MAKE) --no-print-directory -j2 SAN=1 O=$(O)/san

deps: ## install the Debian packages that building and testing need
	$(Q)scripts/deps test

check: ## install what is missing, build, run every test and the lint; ends with a summary
	$(need_root)
	$(Q)scripts/deps test
	$(built) prog-bins unit-bins bench-bins
	$(san) compile unit-bins prog-bins
	$(Q)$(MAKE) --no-print-directory -j2 O=$(O) fuzz-bins
	$(guest)
	$(Q)scripts/check $(O)

test: ## the tests without lint, fuzzing and the 6.1 kernel
	$(need_root)
	$(Q)scripts/deps test
	$(built) prog-bins unit-bins
	$(san) compile unit-bins prog-bins
	$(guest)
	$(Q)scripts/check $(O) unit prog e2e

lint: ## formatters, static analysis, man pages, units
	$(Q)scripts/deps test
	$(built)
	$(Q)scripts/lint $(O)

demo: ## three real clients on one endpoint, each with its own workloads; KEEP=1 leaves it running
	$(need_root)
	$(Q)scripts/deps test
	$(built)
	$(guest)
	$(Q)SP_BUILD=$(O) KEEP=$(KEEP) scripts/demo

bench: ## figures against peers, into build/bench.json
	$(need_root)
	$(Q)scripts/deps test
	$(built) bench-bins
	$(guest)
	$(Q)SP_BUILD=$(O) bench/run

fuzz: ## every fuzzer for FUZZ_SECONDS (600) each
	$(Q)scripts/deps test
	$(Q)$(MAKE) --no-print-directory -j2 O=$(O) fuzz-bins
	$(Q)scripts/fuzz $(O) $(or $(FUZZ_SECONDS),600)

vmtest: ## the tests, and the service under systemd, on Debian 12's own 6.1 kernel, in QEMU
	$(Q)scripts/deps test
	$(built) prog-bins $(O)/selftests/unit/test_link
	$(Q)scripts/vmtest $(O)

fmt: ## format the C sources in place
	$(Q)git ls-files -co --exclude-standard -- '*.c' '*.h' | grep -vx vmlinux.h | xargs clang-format -i

print-cppflags:
	@echo '$(CPPFLAGS)'

UNITS := $(wildcard systemd/*.in)
render = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g'

install: compile ## install below DESTDIR and PREFIX
	$(say) INSTALL $(DESTDIR)$(PREFIX)
	$(Q)install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/sallyport $(DESTDIR)$(UNITDIR) \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/doc/sallyport $(DESTDIR)$(SYSCONFDIR)/sallyport
	$(Q)install $(BIN) $(DESTDIR)$(PREFIX)/sbin/
	$(Q)install $(HOOK_BIN) $(DESTDIR)$(PREFIX)/lib/sallyport/
	$(Q)install -m 644 $(PLUGIN) $(PROBE) $(DESTDIR)$(PREFIX)/lib/sallyport/
	$(Q)for s in 5 7 8; do install -d $(DESTDIR)$(PREFIX)/share/man/man$$s; \
		install -m 644 man/*.$$s $(DESTDIR)$(PREFIX)/share/man/man$$s/; done
	$(Q)install -m 644 completion/sallyport.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sallyport
	$(Q)install -m 644 README.md docs/*.md docs/*.example $(DESTDIR)$(PREFIX)/share/doc/sallyport/
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/doc/sallyport/grafana
	$(Q)install -m 644 docs/grafana/*.json $(DESTDIR)$(PREFIX)/share/doc/sallyport/grafana/
	$(Q)for u in service socket; do $(render) systemd/sallyportd.$$u.in > $(DESTDIR)$(UNITDIR)/sallyportd.$$u; done
	$(Q)for d in openvpn-server@.service.d-sallyport.conf sallyportd.service.d-database.conf; do \
		$(render) systemd/$$d.in > $(DESTDIR)$(PREFIX)/share/doc/sallyport/$$d; done
	$(Q)$(render) systemd/sallyport.sysusers.in > $(DESTDIR)$(PREFIX)/lib/sysusers.d/sallyport.conf
	$(Q)$(render) systemd/sallyport.tmpfiles.in > $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/sallyport.conf
	$(Q)test -e $(DESTDIR)$(SYSCONFDIR)/sallyport/sallyportd.conf || \
		install -m 640 docs/sallyportd.conf.example $(DESTDIR)$(SYSCONFDIR)/sallyport/sallyportd.conf

uninstall: ## remove what install put there; configuration and data stay
	$(say) REMOVE $(DESTDIR)$(PREFIX)
	$(Q)rm -f $(BIN:$(O)/%=$(DESTDIR)$(PREFIX)/sbin/%) \
		$(DESTDIR)$(UNITDIR)/sallyportd.service $(DESTDIR)$(UNITDIR)/sallyportd.socket \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/sallyport.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/sallyport.conf \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/sallyport
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/lib/sallyport $(DESTDIR)$(PREFIX)/share/doc/sallyport
	$(Q)for m in $(notdir $(wildcard man/*.[578])); do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$$m; done

clean: ## remove what was built
	$(Q)rm -rf $(O)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'
