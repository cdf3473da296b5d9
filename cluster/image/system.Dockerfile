# What a node runs besides Kubernetes itself, on the Debian base.
ARG BASE
FROM ${BASE}
RUN apt-get -qq update \
 && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends \
        conntrack containerd containernetworking-plugins curl dbus ethtool hostname iproute2 iptables jq kmod mount \
        netcat-openbsd nftables pigz procps runc socat systemd systemd-sysv util-linux \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/share/doc/* /usr/share/man/*
