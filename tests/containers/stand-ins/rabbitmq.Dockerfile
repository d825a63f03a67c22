# Stands in for rabbitmq:4-management: the same paths, user and plugin.
FROM scratch
COPY . /
ENV PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/rabbitmq \
    RABBITMQ_LOGS=-
RUN ["/usr/bin/bash", "-c", "mkdir -p -m 1777 /tmp && mkdir -p /etc/rabbitmq/conf.d /var/lib/rabbitmq /var/log/rabbitmq /run && printf 'root:x:0:0::/root:/bin/sh\\nrabbitmq:x:999:999::/var/lib/rabbitmq:/bin/bash\\n' >/etc/passwd && printf 'root:x:0:\\nrabbitmq:x:999:\\n' >/etc/group && echo '[rabbitmq_management,rabbitmq_prometheus].' >/etc/rabbitmq/enabled_plugins && chown -R 999:999 /var/lib/rabbitmq /var/log/rabbitmq"]
USER 999
EXPOSE 5672 15672
VOLUME /var/lib/rabbitmq
CMD ["rabbitmq-server"]
