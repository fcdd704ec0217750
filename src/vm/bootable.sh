# Runs in a copy of an image's root, by Guise: makes a computer's system of it. Lines that begin with "P: " are phases.
# In /boot/guise it leaves `kernel` and `initrd`. Here /proc, /sys, /dev and /etc/resolv.conf are the host's own: nothing may write to
# them.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
umask 022
say() { echo "P: $*"; }

say "reading the mirror's index"
apt-get -qq update
say "installing what a computer needs"
apt-get -qq -y --no-install-recommends install systemd-sysv dbus udev kmod login iproute2 iputils-ping procps

say "downloading the kernel"
mkdir -p /boot/guise/tree/bin /boot/guise/tree/modules
cd /boot/guise
version=$(apt-cache depends linux-image-riscv64 | sed -n 's/.*Depends: linux-image-\([0-9].*\)/\1/p')
apt-get -qq download "linux-image-$version" busybox-static

# Without dpkg: the kernel's package wants a maker of initial RAM disks, which would make one for each new kernel, in vain.
say "unpacking the kernel"
dpkg-deb -x linux-image-*.deb /
dpkg-deb -x busybox-static_*.deb busybox
mv "/boot/vmlinux-$version" kernel
rm -f "/boot/System.map-$version"
depmod "$version"

say "making the initial RAM disk"
cp busybox/usr/bin/busybox tree/bin/busybox
ln -s busybox tree/bin/sh
for module in virtio_mmio virtio_blk ext4; do
    modprobe -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >list
while read -r path; do
    name=${path##*/}
    tree/bin/busybox xzcat "$path" >"tree/modules/${name%.xz}"
    echo "${name%.xz}"
done <list >tree/modules/order
cat >tree/init <<'END'
#!/bin/sh
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r name; do insmod "/modules/$name"; done </modules/order
root=/dev/vda
for word in $(cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; esac
done
tries=0
until [ -b "$root" ] || [ $tries = 50 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
if ! mount -t ext4 "$root" /root; then
    echo "The root file system on $root cannot be mounted. Here is a shell."
    exec setsid cttyhack sh
fi
for directory in dev proc sys; do mount --move "/$directory" "/root/$directory"; done
exec switch_root /root /sbin/init
END
chmod 755 tree/init
(cd tree && find . | ./bin/busybox cpio -o -H newc -R 0:0 2>/dev/null >../initrd)
rm -rf ./*.deb busybox tree list

say "configuring the system"
apt-get -qq clean
mkdir -p /etc/systemd/system/serial-getty@.service.d /etc/systemd/network
cat >/etc/systemd/system/serial-getty@.service.d/autologin.conf <<'END'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --keep-baud 115200,57600,38400,9600 - $TERM
END
cat >/etc/systemd/network/80-dhcp.network <<'END'
[Match]
Name=en* eth*

[Network]
DHCP=ipv4
END
systemctl -q enable systemd-networkd.service
# What costs time at each start and does nothing in a machine like this.
systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer modprobe@configfs.service modprobe@drm.service \
    modprobe@efi_pstore.service modprobe@fuse.service sys-kernel-config.mount sys-fs-fuse-connections.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount systemd-pcrextend.socket systemd-pcrlock.socket \
    systemd-hibernate-clear.service
passwd -q -d root
echo guise >/etc/hostname
echo "127.0.0.1 localhost guise" >/etc/hosts
echo "/dev/vda / ext4 defaults 0 0" >/etc/fstab

# Nothing is to be brought up to date at the first start.
journalctl --update-catalog
touch /etc/.updated /var/.updated
