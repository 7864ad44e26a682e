"""A library imported beside other work, without what it can do without."""

import subprocess
import sys
from textwrap import dedent


def ran(code: str) -> str:
    """What a fresh interpreter says of it."""
    return subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_scikit_learn_comes_without_pandas_and_clusters() -> None:
    said = ran("""
        import sys
        from whatwhere.artifacts.ahead import imported_ahead
        imported_ahead("sklearn.cluster", without=["pandas"]).join()
        print("sklearn.cluster" in sys.modules, "pandas" in sys.modules, end=" ")
        from sklearn.cluster import KMeans
        print(len(set(KMeans(2, n_init=1).fit([[0.0], [0.1], [9.0]]).labels_)), end=" ")
        import pandas  # whoever wants it has it
        print(pandas.DataFrame({"a": [1]}).shape)
    """)
    assert said == "True False 2 (1, 1)"


def test_other_threads_import_what_they_like_meanwhile() -> None:
    said = ran("""
        import sys, threading
        from whatwhere.artifacts import ahead
        begun, asked = threading.Event(), threading.Event()
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == "slow":
                    begun.set()
                    asked.wait(20)
        sys.meta_path.append(Slow())
        thread = ahead.imported_ahead("slow", without=["colorsys"])
        begun.wait(20)
        import colorsys
        asked.set()
        thread.join()
        print(colorsys.__name__, len([f for f in sys.meta_path if type(f).__name__ == "_Absent"]))
    """)
    assert said == "colorsys 0"


def test_what_is_wrong_with_a_library_is_for_whoever_needs_it() -> None:
    said = ran("""
        from whatwhere.artifacts.ahead import imported_ahead
        imported_ahead("no_such_library").join()
        print("goes on")
    """)
    assert said == "goes on"
