PYTHON ?= python3

help run lab test bench lock lessons links hooks:
	@$(PYTHON) .ci/make.py $@

.PHONY: help run lab test bench lock lessons links hooks
