PYTHON ?= python3

help run lab test light bench lock lessons links hooks dist:
	@$(PYTHON) .ci/make.py $@

.PHONY: help run lab test light bench lock lessons links hooks dist
