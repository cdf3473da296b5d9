#!/bin/sh
# Runs once, while the node image is built: puts things where kind and Kubernetes look for them, and the images of the
# control plane into containerd's store. $1 is their archive.
set -eu

# Debian's containerd and plugins, under the names that kind's files use.
ln -sf /usr/bin/containerd /usr/bin/ctr /usr/bin/containerd-shim-runc-v2 /usr/local/bin/
ln -sf /usr/sbin/runc /usr/local/sbin/runc
mkdir -p /opt/cni/bin /etc/kubernetes/manifests /etc/cni/net.d /kind/manifests
ln -sf /usr/lib/cni/* /opt/cni/bin/
chmod 0755 /usr/local/bin/entrypoint /kind/bin/*.sh

# Rootless or without the capability for it, neither limits nor scores below the present ones can be set.
sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' /etc/containerd/config.toml
sed -i '/^Limit[A-Z]*=/d; /^OOMScoreAdjust=/d' /etc/systemd/system/containerd.service
hook='{"path": "/kind/bin/mount-product-files.sh"}'
ctr oci spec | jq "del(.process.rlimits) | .hooks.createContainer += [$hook]" > /etc/containerd/cri-base.json

# Nothing starts that a node does not need.
echo 'KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service' > /etc/default/kubelet
find /lib/systemd/system/sysinit.target.wants /lib/systemd/system/multi-user.target.wants /etc/systemd/system \
    -type l -path '*.wants/*' ! -name 'systemd-tmpfiles-setup.service' -delete
rm -f /lib/systemd/system/graphical.target.wants/* /lib/systemd/system/timers.target.wants/*
systemctl enable containerd.service kubelet.service undo-mount-hacks.service
systemctl mask systemd-binfmt.service systemd-logind.service systemd-resolved.service getty.target
ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
echo 'ReadKMsg=no' >> /etc/systemd/journald.conf
rm -f /etc/machine-id /var/lib/dbus/machine-id
: > /etc/machine-id

# The images: imported without unpacking, because the place they are unpacked to is another filesystem in a node.
cat > /tmp/import.toml <<'T'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
T
containerd --config /tmp/import.toml > /tmp/containerd.log 2>&1 &
daemon=$!
tries=0
until ctr version > /dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then
        cat /tmp/containerd.log
        exit 1
    fi
    sleep 0.2
done
ctr --namespace k8s.io images import --all-platforms --no-unpack --digests "$1"
kill "$daemon"
wait "$daemon" || true
rm -rf /tmp/import.toml /tmp/containerd.log /run/containerd
