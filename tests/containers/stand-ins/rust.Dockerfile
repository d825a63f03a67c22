# Stands in for rust:1.95-slim-bookworm, as far as the project's Dockerfile uses it.
FROM stand-in/base
USER 0
COPY . /
RUN ["/bin/busybox", "mkdir", "-p", "/usr/local/cargo/registry", "/usr/local/bin"]
RUN ["/bin/busybox", "sh", "-c", "for tool in sh touch cp mkdir; do /bin/busybox ln -sf busybox /bin/$tool; done; /bin/busybox mv /cargo /usr/local/bin/"]
