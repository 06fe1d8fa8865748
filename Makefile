# Snapup. `make help` lists what there is.
#
#   build/release/   -O2, hardened        what runs and is measured
#   build/asan/      ASan + UBSan         what tests run
#   build/fuzz/      libFuzzer, clang

MODE ?= release
O := build/$(MODE)
CC := gcc
PKGS := libevent_core hiredis libmariadb openssl jansson libcurl
VERSION := 0.1.0

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wformat=2 -Wformat-security -Wvla -Wno-unused-parameter
HARDEN := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection=full -ftrivial-auto-var-init=zero -fPIE -fno-delete-null-pointer-checks \
	-fno-strict-overflow
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen
CFLAGS_release := -O2 -g $(HARDEN)
LDFLAGS_release := $(HARDEN_LD)
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS_asan := -fsanitize=address,undefined
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS_tsan := -fsanitize=thread
CFLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined

CPPFLAGS := -Iservice -D_GNU_SOURCE -DSNAPUP_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS := -std=gnu17 $(WARN) $(CFLAGS_$(MODE)) -pthread
LDFLAGS := $(LDFLAGS_$(MODE)) -pthread
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -linih

ROOMS := base net redis sql rules pay flow api
SERVICE := $(foreach room,$(ROOMS),$(wildcard service/$(room)/*.c))
SERVICE_O := $(SERVICE:%.c=$(O)/%.o)
BASE_O := $(patsubst %.c,$(O)/%.o,$(wildcard service/base/*.c))
UNIT := $(basename $(notdir $(wildcard tests/unit/*_test.c)))

Q := $(if $(V),,@)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# One archive, so that a test links only what it uses.
$(O)/libsnapup.a: $(SERVICE_O)
	$(Q)rm -f $@ && ar rcs $@ $^

$(O)/unit/%: $(O)/tests/unit/%.o $(O)/libsnapup.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)
