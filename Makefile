PYTHON ?= python3

help run lab test light bench lock lessons links docs audit licences dist hooks:
	@$(PYTHON) .ci/make.py $@

.PHONY: help run lab test light bench lock lessons links docs audit licences dist hooks
