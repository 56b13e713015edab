# Stands in for the public image node:22-slim: Debian's Node.js, which is version 20, under the path
# of that image.
FROM debian:trixie-slim
ENV LANG=C.UTF-8 PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends nodejs >/dev/null \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/bin/node /usr/local/bin/node
CMD ["node"]
