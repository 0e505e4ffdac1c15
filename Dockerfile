# The light app: `docker build -t eyewear .`, then `docker run -p 8866:8866 eyewear`; the model is deploy/eyewear.onnx or $EYEWEAR_MODEL
FROM python:3.11-slim
WORKDIR /app
COPY settings.ini setup.py pyproject.toml MANIFEST.in README.md LICENSE requirements.txt constraints-light.txt ./
COPY eyewear eyewear
COPY nbs/app.ipynb nbs/
RUN pip install --no-cache-dir -r requirements.txt && rm -rf build *.egg-info eyewear nbs
COPY deploy deploy
RUN useradd --create-home eyewear
USER eyewear
ENV PORT=8866 EYEWEAR_HOME=/home/eyewear/work
EXPOSE 8866
CMD ["sh", "-c", "exec eyewear-app --ip 0.0.0.0 --port $PORT"]
