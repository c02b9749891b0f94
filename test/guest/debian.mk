# Debian's kernels and busybox, downloaded once: build/guest/debian/{amd64,i386}/{vmlinuz,initrd.img}; memtest86+ beside them;
# a disk. Included by the Makefile.

DEBIAN := build/guest/debian
DEBIAN_APPEND := console=ttyS0 quiet
DEBIAN_SOURCES := $(wildcard test/guest/debian/*.ts test/guest/debian/*.sh)

.PHONY: debian
debian: $(DEBIAN)/amd64/initrd.img $(DEBIAN)/amd64/disk.img

# Downloaded once: packages are those of the day. `make clean` forgets them.
$(DEBIAN)/amd64/packages $(DEBIAN)/memtest86+/packages &: | $(INSTALL)
	@$(NODE) test/guest/debian/fetch.ts $(DEBIAN)

$(DEBIAN)/amd64/initrd.img: $(DEBIAN)/amd64/packages $(DEBIAN_SOURCES) | $(DEBIAN)/memtest86+/packages
	@$(NODE) test/guest/debian/pack.ts $(DEBIAN)

# Its own, not packed anew: a guest may have written to it.
$(DEBIAN)/amd64/disk.img: | $(DEBIAN)/amd64/packages
	@$(NODE) test/guest/debian/disk.ts $@

guest: debian
