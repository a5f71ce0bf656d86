# alertbot in a container: runs without root, writes only to /data, and has a health check.
#   docker build -t alertbot .
#   docker run --restart unless-stopped --read-only --tmpfs /tmp \
#     -v alertbot-data:/data -v "$PWD/rules:/config/rules:ro" \
#     -v "$PWD/alertbot.yaml:/config/alertbot.yaml:ro" --env-file secrets.env -p 8080:8080 alertbot
# Set `storage: /data/alertbot.db` and `http: {host: 0.0.0.0}` in alertbot.yaml. In secrets.env write values without
# quotes: Docker passes quotes on as part of the value. A folder of the host in place of the volume must belong to the
# user of the container: chown 10001 FOLDER.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/alertbot
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY alertbot alertbot
COPY rules rules
RUN /opt/alertbot/bin/pip install --no-cache-dir -c requirements.lock '.[charts,postgres]'
# Check that the package works on its own, without files that only a checkout has.
WORKDIR /
RUN /opt/alertbot/bin/alertbot check /opt/alertbot/lib/python3.13/site-packages/alertbot/shipped_rules

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data alertbot && install -d -o alertbot /data /config
COPY --from=build /opt/alertbot /opt/alertbot
ENV PATH=/opt/alertbot/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ALERTBOT_CONFIG=/config/alertbot.yaml
# By number, so that Kubernetes can see that it is not root.
USER 10001
WORKDIR /config
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-m", "alertbot.service.healthcheck"]
ENTRYPOINT ["alertbot"]
CMD ["run"]
