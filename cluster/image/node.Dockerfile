# A node as kind expects it. `root/` holds kind's own base files, the programs and our manifests; /archive is mounted.
ARG SYSTEM
FROM ${SYSTEM}
COPY root/ /
RUN sh /kind/setup-node.sh /archive/images.tar
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
