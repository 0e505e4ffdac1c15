"Package metadata from settings.ini; the notebooks that Voila serves travel inside the package."
import shutil
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
cfg = ConfigParser(delimiters=['='])
cfg.read(here/'settings.ini', encoding='utf8')
cfg = cfg['DEFAULT']

class BuildPy(build_py):
    def run(self):
        super().run()
        if self.editable_mode: return
        static = Path(self.build_lib)/cfg['lib_name']/'page'/'static'
        static.mkdir(parents=True, exist_ok=True)
        for page in ('app', 'review'): shutil.copy(here/'nbs'/f'{page}.ipynb', static)

name = cfg['lib_name']
extras = {k.removesuffix('_requirements'): v.split() for k, v in cfg.items() if k.endswith('_requirements')}

setup(
    version=cfg['version'],
    description=cfg['description'],
    keywords=cfg['keywords'].split(),
    author=cfg['author'],
    license=cfg['license'],
    long_description=(here/'README.md').read_text(encoding='utf8'),
    long_description_content_type='text/markdown',
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(),
    extras_require=extras,
    entry_points=dict(console_scripts=cfg['console_scripts'].splitlines()),
    packages=find_packages(include=[name, f'{name}.*']),
    package_data={f'{name}.page': ['static/**']},
    zip_safe=False,
    cmdclass=dict(build_py=BuildPy))
