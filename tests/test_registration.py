"""``df.dicom`` is there as soon as pandas is, however pandas comes to be loaded. Each case has an interpreter of its own."""

import subprocess
import sys

import pytest

HAS_BOTH = "assert hasattr(pandas.DataFrame, 'dicom') and hasattr(pandas.Series, 'dicom')"

#: A loader for pandas that is asked for other modules, too, or that lets nobody change it, as compiled ones.
FINDER = """
import importlib.machinery, sys, warnings

warnings.simplefilter("ignore", ImportWarning)  # Python's own, of finders that are as old

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
    "pandas last": "import dicomframe, pandas",
    "a module of ours": "import dicomframe.tables.edited, pandas",
    "the accessor itself": "import dicomframe.accessor, pandas",
    "a part of pandas": "import dicomframe; from pandas.api import types; import pandas",
    "twice": "import dicomframe, importlib; importlib.reload(dicomframe); import pandas",
    "reloaded": "import dicomframe, pandas, importlib; importlib.reload(pandas)",
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
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
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
        "import sys, warnings; sys.modules['dicomframe.accessor'] = None; import dicomframe\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import pandas\n"
        "assert 'Tables have no .dicom' in str(caught[-1].message)\n"
        "assert len(pandas.DataFrame({'a': [1]})) == 1"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_finder_is_taken_from_imports_that_go_on():
    done = run(
        "import dicomframe, sys; finders = list(sys.meta_path); import pandas; assert sys.meta_path == finders"
    )
    assert (done.returncode, done.stderr) == (0, "")
