# Debian's kernels and busybox, downloaded once: build/guest/debian/{amd64,i386}/{vmlinuz,initrd.img}. Included by the Makefile.

DEBIAN := build/guest/debian
DEBIAN_APPEND := console=ttyS0 quiet
DEBIAN_SOURCES := $(wildcard test/guest/debian/*.ts test/guest/debian/*.sh)

.PHONY: debian
debian: $(DEBIAN)/amd64/initrd.img

# Downloaded once: packages are those of the day. `make clean` forgets them.
$(DEBIAN)/amd64/packages: | $(INSTALL)
	@$(NODE) test/guest/debian/fetch.ts $(DEBIAN)

$(DEBIAN)/amd64/initrd.img: $(DEBIAN)/amd64/packages $(DEBIAN_SOURCES)
	@$(NODE) test/guest/debian/pack.ts $(DEBIAN)

guest: debian
