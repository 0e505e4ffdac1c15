# The light app: `docker build -t eyewear .`, then `docker run -p 8866:7860 eyewear`; 7860 is the port of a Hugging Face Space
# The model is deploy/eyewear.onnx, or `--build-arg EYEWEAR_MODEL=https://..#sha256=..`; without one the build ends with a sentence
FROM python:3.11-slim
WORKDIR /app
COPY settings.ini setup.py pyproject.toml MANIFEST.in README.md LICENSE requirements.txt constraints-light.txt ./
COPY eyewear eyewear
COPY nbs/app.ipynb nbs/review.ipynb nbs/
RUN pip install --no-cache-dir -r requirements.txt && rm -rf build *.egg-info eyewear nbs
COPY deploy deploy
RUN useradd --create-home --uid 1000 eyewear
USER eyewear
ARG EYEWEAR_MODEL
ENV EYEWEAR_MODEL=$EYEWEAR_MODEL EYEWEAR_HOME=/home/eyewear/work PORT=7860
RUN eyewear-predict --check
EXPOSE $PORT
HEALTHCHECK --start-period=60s CMD python -c "import os,urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:'+os.environ['PORT']+'/voila/templates/base/static/voila.js', timeout=5)"
CMD ["sh", "-c", "exec eyewear-app --ip 0.0.0.0 --port $PORT"]
