# A kind node from Debian packages. Build context: kind's own files, the programs and manifests.
# Debian 12, because its systemd still starts on hosts with cgroup v1.
FROM torpor.test/debian:bookworm
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends \
      systemd util-linux mount kmod procps bash ca-certificates curl jq pigz socat \
      conntrack iptables nftables iproute2 ethtool libseccomp2 containerd runc >/dev/null \
 && rm -rf /var/lib/apt/lists/*

# Only kind's units may start: those that the packages enabled would manage the host's devices
# and file systems.
RUN rm -f /lib/systemd/system/basic.target.wants/* /lib/systemd/system/local-fs.target.wants/* \
      /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
      /lib/systemd/system/sockets.target.wants/*udev* \
      /lib/systemd/system/sockets.target.wants/*initctl* \
      /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
      /lib/systemd/system/containerd.service \
 && echo ReadKMsg=no >>/etc/systemd/journald.conf \
 && ln -sf /lib/systemd/systemd /sbin/init

COPY root/ /

# kind's unit names containerd's programs by this path. Where the host withholds
# CAP_SYS_RESOURCE, nobody may lower a process's OOM score, so containerd must not try.
RUN ln -s /usr/bin/containerd /usr/bin/containerd-shim-runc-v2 /usr/bin/ctr /usr/local/bin/ \
 && for name in crictl kubeadm kubectl kubelet; do ln -s kube /usr/bin/$name; done \
 && sed -i 's/^\( *restrict_oom_score_adj = \)false/\1true/' /etc/containerd/config.toml \
 && ctr oci spec | jq 'del(.process.rlimits) \
      | .hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}]' \
      >/etc/containerd/cri-base.json \
 && systemctl enable kubelet.service containerd.service undo-mount-hacks.service \
 && systemctl mask systemd-binfmt.service \
 && mkdir -p /etc/kubernetes/manifests \
 && : >/etc/machine-id

ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
