# The image of every system pod, under each of the names that kubeadm and kind ask for.
FROM torpor.test/debian:bookworm
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends conntrack iptables kmod nftables >/dev/null \
 && rm -rf /var/lib/apt/lists/*
COPY bin/ /usr/local/bin/
RUN cd /usr/local/bin \
 && for name in apiserver controller-manager scheduler proxy; do ln -s kube kube-$name; done \
 && ln -s kube podnet
