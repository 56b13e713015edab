"""A row of the catalog changed: says on the bus that a video is ready, or that it could not be."""

import torpor_api


def handler(event, context):
    row = event.json()["new"]
    told = {"id": row["id"], "status": row["status"], "variants": row["variants"]}
    trace = event.headers.get("traceparent")
    # The id follows from the row, so that a change that is told twice is one event.
    torpor_api.publish(
        "media", f"video.{row['status']}", f"{row['id']}-{row['status']}", told, trace
    )
