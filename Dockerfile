# escsr as a server on a CPU; see docs/web.md. Not built where it was written: no container daemon runs there.
FROM python:3.11-slim

RUN useradd --create-home --uid 10001 escsr
WORKDIR /build
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY src src
# The compiler makes the native kernels, without which a CPU takes three times as long.
RUN apt-get update && apt-get install -y --no-install-recommends g++ \
    && pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch==2.13.0 \
    && pip install --no-cache-dir -c constraints.txt ".[web,jxl,exr,heic]" \
    && apt-get purge -y --auto-remove g++ && rm -rf /var/lib/apt/lists/* /build

USER escsr
WORKDIR /home/escsr
EXPOSE 8642
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8642/health', timeout=4)"]

# The token comes by the variable ESCSR_TOKEN; without one the server refuses to start.
ENTRYPOINT ["escsr", "serve", "--host", "0.0.0.0", "--no-open"]
