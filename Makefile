# A thin front for meson. B: build directory, CC: compiler, SANITIZE: e.g. address,undefined
B ?= build
SANITIZE ?= none
export CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))

.PHONY: all run test check bench install clean format deps test-deps run-deps

all: deps
	@test -f $(B)/build.ninja || meson setup $(B) -Db_sanitize=$(SANITIZE) $(if $(filter-out none,$(SANITIZE)),--buildtype=debugoptimized -Db_lundef=false)
	@ninja -C $(B)

deps:
	@tools/apt-need build

test-deps: deps
	@tools/apt-need test

run-deps: deps
	@tools/apt-need run

run: run-deps all
	@tools/demo $(B)/guise

test: test-deps all
	@test -d $(B)/tests/unit || { meson setup --reconfigure $(B) && ninja -C $(B); }
	@tools/run-tests $(B)

check:
	@tools/check-deps
	@tools/check-format

bench: test-deps all
	@tools/apt-need bench
	@bench/run $(B)/guise
	@bench/machine $(B)/guise

install: all
	meson install -C $(B)

format:
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf $(B)
