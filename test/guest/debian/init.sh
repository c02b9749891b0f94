#!/bin/busybox sh
# /init of the Debian guests: mounts what a system has, loads modules, and gives the console to a shell.
# With splitvm.script=FILE on the command line it runs that file of the initramfs in place of the shell.
/bin/busybox mkdir -p /proc /sys /dev /tmp /root /mnt
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
# There is no init to ask: the kernel is told itself. Functions, since busybox's shell knows its applets without a file.
mkdir -p /etc
cat >/etc/profile <<'END'
poweroff() { sync; busybox poweroff -f; }
reboot() { sync; busybox reboot -f; }
halt() { sync; busybox halt -f; }
END
export ENV=/etc/profile
export PATH=/bin HOME=/root TERM=${TERM:-vt100}
hostname splitvm
while read -r module; do
	insmod "/modules/$module.ko" || echo "init: $module could not be loaded"
done </modules/order
echo "splitvm: Debian GNU/Linux shell, Linux $(uname -r) $(uname -m)"
# The power button is an input event; acpid runs this file for it.
mkdir -p /etc/acpi/PWRF /var/log /var/run && printf '#!/bin/sh\n. /etc/profile\npoweroff\n' >/etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080 && acpid
# A serial port does not know how large the terminal is: `make run` says it.
size=$(sed -n 's/.*splitvm\.size=\([0-9]*\)x\([0-9]*\).*/rows \1 cols \2/p' /proc/cmdline)
[ -z "$size" ] || stty $size
script=$(sed -n 's/.*splitvm\.script=\([^ ]*\).*/\1/p' /proc/cmdline)
if [ -n "$script" ]; then
	sh "$script"
else
	echo "This system lives in memory. poweroff ends it; Ctrl-A x does so at once."
	cd /root && setsid cttyhack sh -l
fi
sync
poweroff -f
