#!/bin/busybox sh
# /init of the Debian guests: mounts what a system has, loads modules, mounts a disk at /mnt if there is one with ext4, and gives
# the console to a shell; a virtio console gets another.
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
leave_disk() { sync; umount /mnt || mount -o remount,ro /mnt; } 2>/dev/null
poweroff() { leave_disk; busybox poweroff -f; }
reboot() { leave_disk; busybox reboot -f; }
halt() { leave_disk; busybox halt -f; }
END
. /etc/profile
export ENV=/etc/profile
export PATH=/bin HOME=/root TERM=${TERM:-vt100}
hostname splitvm
while read -r module; do
	insmod "/modules/$module.ko" || echo "init: $module could not be loaded"
done </modules/order
# Looked at first, since the kernel warns of a disk that it is told to mount and cannot: ext4's magic, 0xef53 at 1080.
if [ -b /dev/vda ] && dd if=/dev/vda bs=2 skip=540 count=1 2>/dev/null | hexdump | grep -q ef53; then
	mount -t ext4 /dev/vda /mnt && echo "splitvm: /dev/vda is mounted at /mnt" && where="All but /mnt"
fi
echo "splitvm: Debian GNU/Linux shell, Linux $(uname -r) $(uname -m)"
# The power button is an input event; acpid runs this file for it.
mkdir -p /etc/acpi/PWRF /var/log /var/run && printf '#!/bin/sh\n. /etc/profile\npoweroff\n' >/etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080 && acpid
# A serial port does not know how large the terminal is: `make run` says it.
# A terminal that does not know its size says 0x0.
size=$(sed -n 's/.*splitvm\.size=\([1-9][0-9]*\)x\([1-9][0-9]*\).*/rows \1 cols \2/p' /proc/cmdline)
[ -z "$size" ] || stty $size
script=$(sed -n 's/.*splitvm\.script=\([^ ]*\).*/\1/p' /proc/cmdline)
if [ -n "$script" ]; then
	sh "$script"
else
	# The driver makes hvc0 when the host has answered it, which may be later than now.
	if grep -q 0x0003 /sys/bus/virtio/devices/*/device 2>/dev/null; then
		while :; do
			[ -c /dev/hvc0 ] && cd /root && setsid -c sh -l <>/dev/hvc0 >&0 2>&0
			sleep 1
		done &
	fi
	echo "${where:-This system} lives in memory. poweroff ends it; Ctrl-A x does so at once."
	cd /root && setsid cttyhack sh -l
fi
poweroff
