"""A video is ready: makes the page to watch it on."""

from html import escape

import bucket

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{id}</title>
<meta name="viewport" content="width=device-width"><meta name="event" content="{event}">
<style>body {{ margin: 2rem auto; max-width: 60rem; font: 16px/1.5 system-ui }}
video {{ width: 100% }}</style>
<h1>{id}</h1>
<video controls poster="thumbnail.jpg">{sources}</video>
<ul>{links}</ul>
</html>
"""


def handler(event, context):
    video = event.json()
    names = [escape(each["name"]) for each in video["variants"]]
    sources = "".join(f'<source src="{name}.mp4" type="video/mp4">' for name in names)
    links = "".join(f'<li><a href="{name}.mp4">{name}</a></li>' for name in names)
    told = {"id": escape(video["id"]), "event": escape(event.headers["ce-id"])}
    page = _PAGE.format(**told, sources=sources, links=links)
    bucket.store.put(f"pages/{video['id']}.html", page.encode())
