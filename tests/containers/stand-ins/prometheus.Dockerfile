# Stands in for prom/prometheus: the same paths, user and arguments.
FROM stand-in/base
USER 0
COPY . /
RUN ["/bin/busybox", "sh", "-c", "for tool in sh wget mkdir chown ln; do /bin/busybox ln -sf busybox /bin/$tool; done; mkdir -p /etc/prometheus /prometheus; chown 65534:65534 /prometheus; ln -sf /usr/bin/prometheus /bin/prometheus"]
USER 65534
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
