"""Word count with Spark's RDDs on two local cores. OUTPUT_FOLDER FILE..."""

from __future__ import annotations

import operator
import os
import sys

from pyspark.sql import SparkSession  # type: ignore[import-not-found]


def main(output: str, files: list[str]) -> None:
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.local.dir", os.environ.get("TMPDIR", "/tmp"))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    lines = session.sparkContext.textFile(",".join(files))
    counts = lines.flatMap(lambda line: line.split()).map(lambda word: (word, 1)).reduceByKey(operator.add)
    counts.map(lambda pair: f"{pair[0]}\t{pair[1]}").saveAsTextFile(f"{output}/out")
    session.stop()


if __name__ == "__main__":
    os.environ["PYSPARK_PYTHON"] = sys.executable
    main(sys.argv[1], sys.argv[2:])
