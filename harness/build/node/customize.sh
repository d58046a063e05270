#!/bin/sh
# Runs inside the fresh Debian tree, once: makes a machine out of it that a container can be.
set -eu

# The init system starts what a node needs and nothing else.
rm -f /etc/systemd/system/*.wants/* \
    /lib/systemd/system/multi-user.target.wants/* \
    /lib/systemd/system/local-fs.target.wants/* \
    /lib/systemd/system/sockets.target.wants/*udev* \
    /lib/systemd/system/sockets.target.wants/*initctl* \
    /lib/systemd/system/basic.target.wants/* \
    /lib/systemd/system/timers.target.wants/* \
    /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nReadKMsg=no\nStorage=volatile\nRuntimeMaxUse=64M\n' >/etc/systemd/journald.conf.d/node.conf
systemctl mask systemd-binfmt.service systemd-logind.service getty.target console-getty.service >/dev/null 2>&1
systemctl set-default multi-user.target >/dev/null 2>&1

# CNI plugins where everybody looks for them.
mkdir -p /opt/cni/bin /etc/cni/net.d /etc/kubernetes/manifests /kind/manifests
for plugin in bandwidth bridge firewall host-local loopback portmap ptp tuning; do
    mv "/usr/lib/cni/$plugin" /opt/cni/bin/
done
rm -rf /usr/lib/cni

# What kube-proxy's image takes from this tree: both flavours of iptables with every extension, the
# libraries of all that, and their loader.
{
    for program in /usr/sbin/xtables-nft-multi /usr/sbin/xtables-legacy-multi /usr/sbin/conntrack \
        /usr/lib/*/xtables/*.so; do
        printf '%s\n' "$program"
        ldd "$program" | grep -o '/[^ ]*' || true
    done
} | sort -u | while read -r path; do
    # Both the name that the loader looks for and the file behind it.
    printf '%s\n' "$(readlink -f "$(dirname "$path")")/$(basename "$path")"
    readlink -f "$path"
done | sort -u | sed 's|^/||' >/kind/kube-proxy-files

# Nothing that differs from one build to the next, nothing that nobody reads.
rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian \
    /usr/share/bash-completion /usr/share/zsh /var/cache/apt /var/cache/debconf /var/cache/ldconfig \
    /var/lib/apt/lists /var/log /tmp/* /etc/machine-id /var/lib/dbus/machine-id \
    /etc/resolv.conf /etc/hostname /etc/hosts
mkdir -p /var/log /var/lib/apt/lists/partial /var/cache/apt/archives/partial
: >/etc/machine-id
find / -xdev -name '*.pyc' -delete
rm -f /customize.sh
