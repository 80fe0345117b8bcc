"""``df.dicom`` is there as soon as pandas is, however that comes to be loaded. Each case has its own interpreter."""

import subprocess
import sys

import pytest

HAS_BOTH = """
assert 'dicom' in dir(pandas.DataFrame())
assert pandas.DataFrame.dicom.__name__ == 'DicomTable' and pandas.Series.dicom.__name__ == 'DicomColumn'
assert pandas.DataFrame({'StudyInstanceUID': ['1.2']}).dicom.level == 'study'
"""

#: A loader for pandas that is asked for other modules, too, or that lets nobody change it, as compiled ones.
FINDER = """
import importlib.machinery, sys

class Shared:
    __slots__ = ()
    loaders = {}
    def find_spec(self, name, path, target=None):
        if name.partition('.')[0] != 'pandas':
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            self.loaders[name], spec.loader = spec.loader, self
        return spec
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        self.loaders[module.__name__].exec_module(module)

class Old:
    def find_module(self, name, path=None):
        return None

shared = Shared()
sys.meta_path[:0] = [Old(), shared]
"""

CASES = {
    "pandas first": "import pandas, dicomframe",
    "pandas last": """
import dicomframe, sys
finders = list(sys.meta_path)
import pandas
# To take one out would have imports of other threads, which go through them, miss one.
assert sys.meta_path == finders
""",
    "a module of ours": "import dicomframe.tables.edited, pandas",
    "all is reloaded": """
import dicomframe, importlib
importlib.reload(dicomframe)
import pandas
importlib.reload(pandas)
""",
    "a shared loader that cannot be changed": FINDER
    + "import dicomframe, pandas; assert pandas.__spec__.loader is pandas.__loader__ is shared",
    "only looked for": """
import copy, dicomframe, importlib.util, sys
spec = importlib.util.find_spec('pandas')
assert 'pandas' not in sys.modules
assert '__version__' in spec.loader.get_source('pandas') and copy.copy(spec).loader.is_package('pandas')
import pandas
assert type(pandas.__loader__) is type(pandas.__spec__.loader) is type(dicomframe.__loader__)
""",
    "lazily": """
import dicomframe, importlib.util, sys
spec = importlib.util.find_spec('pandas')
spec.loader = importlib.util.LazyLoader(spec.loader)
pandas = sys.modules['pandas'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pandas)
assert 'dicomframe.accessor' not in sys.modules
pandas.DataFrame
""",
    "threads": """
import dicomframe, importlib, threading
names = ['pandas', 'dicomframe.accessor', 'dicomframe.tables.convert', 'dicomframe.accessor.column'] * 3
started, failed = threading.Barrier(len(names)), []
def load(name):
    started.wait()
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=load, args=[name]) for name in names]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
import pandas
""",
    "behind our back": """
import dicomframe, sys
finders, sys.meta_path = sys.meta_path, sys.meta_path[1:]
import pandas
assert not hasattr(pandas.DataFrame, 'dicom')
sys.meta_path = finders
dicomframe.from_json
""",
}


def run(script):
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", CASES.values(), ids=CASES)
def test_tables_have_their_accessor(script):
    done = run(f"{script}\n{HAS_BOTH}")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_pandas_the_package_can_be_imported():
    done = run("import sys; sys.modules['pandas'] = None; import dicomframe")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_accessor_costs_nobody_pandas():
    done = run(
        "import sys; sys.modules['dicomframe.accessor'] = None; import dicomframe, pandas\n"
        "table = pandas.DataFrame({'a': [1]})\n"
        "assert len(table) == 1\n"
        "try:\n    table.dicom\n"
        "except ImportError: pass\n"
        "else: raise AssertionError"
    )
    assert (done.returncode, done.stderr) == (0, "")
